import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  errorName,
  FRAME_HEADER_BYTES,
  GOAWAY,
  HAS_PRIORITY,
  HEADERS,
  PADDED,
  PING,
  PREFACE,
  PRIORITY,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  writeFrameHeader,
} from '#sidecar/http/h2/frame.ts';
import type { HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import { settingsPayload } from '#sidecar/http/h2/settings.ts';
import { AMPLE_BYTES, AMPLE_FIELDS, literal } from './hpack/blocks.ts';

/** Frames as another program would write them: nothing here looks at what is allowed. */

export type Fields = readonly string[];

const NOTHING = Buffer.alloc(0);

export function frame(type: number, flags: number, id: number, payload: Uint8Array = NOTHING): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(bytes, 0, payload.length, type, flags, id);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** Flat fields as literals that no table keeps. */
export function block(fields: Fields): Buffer {
  const parts: Buffer[] = [];
  for (let index = 0; index < fields.length; index += 2)
    parts.push(literal(0x00, fields[index] ?? '', fields[index + 1] ?? ''));
  return Buffer.concat(parts);
}

export interface HeadersOptions {
  readonly end?: boolean;
  /** Bytes of padding; its length field comes on top. */
  readonly padding?: number;
  /** The stream that this one depends on (RFC 7540 §5.3). */
  readonly dependsOn?: number;
  /** Bytes of the block in each frame; the rest follows as CONTINUATION. */
  readonly piece?: number;
}

export function headers(id: number, fields: Fields | Buffer, options: HeadersOptions = {}): Buffer {
  const { end = false, padding, dependsOn, piece = Number.POSITIVE_INFINITY } = options;
  const whole = Buffer.isBuffer(fields) ? fields : block(fields);
  const isWhole = whole.length <= piece;
  let flags = (end ? END_STREAM : 0) | (isWhole ? END_HEADERS : 0);
  const parts: Buffer[] = [];
  if (padding !== undefined) {
    flags |= PADDED;
    parts.push(Buffer.of(padding));
  }
  if (dependsOn !== undefined) {
    flags |= HAS_PRIORITY;
    parts.push(fourBytes(dependsOn), Buffer.of(15));
  }
  parts.push(whole.subarray(0, isWhole ? whole.length : piece), Buffer.alloc(padding ?? 0));
  const frames = [frame(HEADERS, flags, id, Buffer.concat(parts))];
  for (let at = piece; at < whole.length; at += piece)
    frames.push(frame(CONTINUATION, at + piece >= whole.length ? END_HEADERS : 0, id, whole.subarray(at, at + piece)));
  return Buffer.concat(frames);
}

export function data(id: number, body: string | Buffer, { end = false, padding }: HeadersOptions = {}): Buffer {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body, 'latin1');
  const flags = (end ? END_STREAM : 0) | (padding === undefined ? 0 : PADDED);
  const parts = padding === undefined ? [bytes] : [Buffer.of(padding), bytes, Buffer.alloc(padding)];
  return frame(DATA, flags, id, Buffer.concat(parts));
}

export function settings(...pairs: readonly (readonly [identifier: number, value: number])[]): Buffer {
  return frame(SETTINGS, 0, 0, settingsPayload(pairs));
}

export const settingsAck = frame(SETTINGS, ACK, 0);

export function windowUpdate(id: number, increment: number): Buffer {
  return frame(WINDOW_UPDATE, 0, id, fourBytes(increment));
}

export function rstStream(id: number, code: number): Buffer {
  return frame(RST_STREAM, 0, id, fourBytes(code));
}

export function ping(text = '12345678', flags = 0): Buffer {
  return frame(PING, flags, 0, Buffer.from(text, 'latin1'));
}

export function goaway(lastStreamId: number, code: number, debug = ''): Buffer {
  return frame(GOAWAY, 0, 0, Buffer.concat([fourBytes(lastStreamId), fourBytes(code), Buffer.from(debug)]));
}

export function priority(id: number, dependsOn: number): Buffer {
  return frame(PRIORITY, 0, id, Buffer.concat([fourBytes(dependsOn), Buffer.of(7)]));
}

/** What a client says first, as sparingly as it may. */
export function clientPreface(...pairs: readonly (readonly [identifier: number, value: number])[]): Buffer {
  return Buffer.concat([PREFACE, settings(...pairs)]);
}

/** The fields of a request. */
export function request(method: string, path: string, ...more: string[]): string[] {
  return [':method', method, ':scheme', 'http', ':authority', 'server.test', ':path', path, ...more];
}

export function fourBytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/** A frame as it came. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** Takes whole frames off the front of bytes that keep coming. */
export class FrameSplitter {
  #rest: Buffer = NOTHING;

  push(bytes: Buffer): Frame[] {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const frames: Frame[] = [];
    let at = 0;
    while (all.length - at >= FRAME_HEADER_BYTES) {
      const end = at + FRAME_HEADER_BYTES + all.readUIntBE(at, 3);
      if (end > all.length) break;
      const [type = 0, flags = 0] = all.subarray(at + 3, at + 5);
      const id = all.readUInt32BE(at + 5) & 0x7fff_ffff;
      frames.push({ type, flags, id, payload: all.subarray(at + FRAME_HEADER_BYTES, end) });
      at = end;
    }
    this.#rest = all.subarray(at);
    return frames;
  }
}

const TYPES = [
  'DATA',
  'HEADERS',
  'PRIORITY',
  'RST_STREAM',
  'SETTINGS',
  'PUSH_PROMISE',
  'PING',
  'GOAWAY',
  'WINDOW_UPDATE',
  'CONTINUATION',
];

/** A frame in a line: `HEADERS 1 END_STREAM [:status: 200]`, `DATA 1 "text"`, `GOAWAY 3 PROTOCOL_ERROR`. */
export function describe({ type, flags, id, payload }: Frame, decoder: HeaderDecoder): string {
  const name = `${TYPES[type] ?? `type${type}`}`;
  const end = (flags & END_STREAM) === 0 ? '' : ' END_STREAM';
  switch (type) {
    case DATA:
      return `${name} ${id}${end} ${payload.length > 40 ? `${payload.length} bytes` : JSON.stringify(payload.toString('latin1'))}`;
    case HEADERS:
      if ((flags & END_HEADERS) === 0) return `${name} ${id}${end} begun`;
      return `${name} ${id}${end} [${lines(decoder, payload)}]`;
    case RST_STREAM:
      return `${name} ${id} ${errorName(payload.readUInt32BE(0))}`;
    case SETTINGS:
      if ((flags & ACK) !== 0) return 'SETTINGS ACK';
      return ['SETTINGS', ...pairsOf(payload)].join(' ');
    case PING:
      return `${name}${(flags & ACK) === 0 ? '' : ' ACK'} ${payload.toString('latin1')}`;
    case GOAWAY:
      return `${name} ${payload.readUInt32BE(0)} ${errorName(payload.readUInt32BE(4))}`;
    case WINDOW_UPDATE:
      return `${name} ${id} ${payload.readUInt32BE(0)}`;
    case PRIORITY:
    case PUSH_PROMISE:
      return `${name} ${id}`;
    default:
      return `${name} ${id} ${payload.length} bytes${(flags & END_HEADERS) === 0 ? '' : ', the last'}`;
  }
}

function lines(decoder: HeaderDecoder, payload: Buffer): string {
  const flat = decoder.decode(payload, 0, payload.length, AMPLE_BYTES, AMPLE_FIELDS);
  return flat
    .map((text, index) => (index % 2 === 0 ? text : `: ${text}${index === flat.length - 1 ? '' : ', '}`))
    .join('');
}

function* pairsOf(payload: Buffer): Generator<string> {
  for (let at = 0; at < payload.length; at += 6) yield `${payload.readUInt16BE(at)}=${payload.readUInt32BE(at + 2)}`;
}
