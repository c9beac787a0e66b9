import { FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, MAX_FRAME_BYTES, PROTOCOL_ERROR } from './frame.ts';
import { Http2Error } from './http2-error.ts';

/** Identifiers (RFC 9113 §6.5.2, RFC 8441 §3). */
export const HEADER_TABLE_SIZE = 0x1;
export const ENABLE_PUSH = 0x2;
export const MAX_CONCURRENT_STREAMS = 0x3;
export const INITIAL_WINDOW_SIZE = 0x4;
export const MAX_FRAME_SIZE = 0x5;
export const MAX_HEADER_LIST_SIZE = 0x6;
export const ENABLE_CONNECT_PROTOCOL = 0x8;
/**
 * Lateral's own, of the range for private use (RFC 9113 §11.3): its sender keeps the case of header names and takes names in
 * any case. Where both ends said so, names travel as they were written.
 */
export const KEEP_HEADER_CASE = 0xf1a7;

export const DEFAULT_WINDOW_BYTES = 65_535;
export const MAX_WINDOW_BYTES = 0x7fff_ffff;
const MAX_FRAME_SIZE_LIMIT = 0xff_ffff;
const SETTING_BYTES = 6;

/** What the other side told us, or the defaults until it does. */
export interface PeerSettings {
  maxConcurrentStreams: number;
  initialWindowBytes: number;
  maxFrameBytes: number;
  /** Largest header list that it takes, by RFC 9113's measure. */
  maxHeaderListBytes: number;
  headerTableBytes: number;
  hasConnectProtocol: boolean;
  keepsHeaderCase: boolean;
}

export function defaultSettings(): PeerSettings {
  return {
    maxConcurrentStreams: Number.POSITIVE_INFINITY,
    initialWindowBytes: DEFAULT_WINDOW_BYTES,
    maxFrameBytes: MAX_FRAME_BYTES,
    maxHeaderListBytes: Number.POSITIVE_INFINITY,
    headerTableBytes: 4_096,
    hasConnectProtocol: false,
    keepsHeaderCase: false,
  };
}

/** Reads a SETTINGS payload into `settings`; what is unknown is ignored (RFC 9113 §6.5.2). Throws Http2Error. */
export function readSettings(bytes: Buffer, start: number, end: number, settings: PeerSettings): void {
  if ((end - start) % SETTING_BYTES !== 0) {
    throw new Http2Error(FRAME_SIZE_ERROR, 'SETTINGS of a length that is no multiple of 6 (RFC 9113 §6.5)');
  }
  for (let at = start; at < end; at += SETTING_BYTES) {
    const value = bytes.readUInt32BE(at + 2);
    switch (bytes.readUInt16BE(at)) {
      case HEADER_TABLE_SIZE:
        settings.headerTableBytes = value;
        break;
      case ENABLE_PUSH:
        if (value > 1) throw new Http2Error(PROTOCOL_ERROR, `ENABLE_PUSH ${value} (RFC 9113 §6.5.2)`);
        break;
      case MAX_CONCURRENT_STREAMS:
        settings.maxConcurrentStreams = value;
        break;
      case INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW_BYTES)
          throw new Http2Error(FLOW_CONTROL_ERROR, `INITIAL_WINDOW_SIZE ${value} (RFC 9113 §6.5.2)`);
        settings.initialWindowBytes = value;
        break;
      case MAX_FRAME_SIZE:
        if (value < MAX_FRAME_BYTES || value > MAX_FRAME_SIZE_LIMIT)
          throw new Http2Error(PROTOCOL_ERROR, `MAX_FRAME_SIZE ${value} (RFC 9113 §6.5.2)`);
        settings.maxFrameBytes = value;
        break;
      case MAX_HEADER_LIST_SIZE:
        settings.maxHeaderListBytes = value;
        break;
      case ENABLE_CONNECT_PROTOCOL:
        if (value > 1) throw new Http2Error(PROTOCOL_ERROR, `ENABLE_CONNECT_PROTOCOL ${value} (RFC 8441 §3)`);
        settings.hasConnectProtocol = value === 1;
        break;
      case KEEP_HEADER_CASE:
        settings.keepsHeaderCase = value === 1;
        break;
    }
  }
}

/** A SETTINGS payload of these pairs. */
export function settingsPayload(pairs: readonly (readonly [identifier: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * SETTING_BYTES);
  for (const [index, [identifier, value]] of pairs.entries()) {
    payload.writeUInt16BE(identifier, index * SETTING_BYTES);
    payload.writeUInt32BE(value, index * SETTING_BYTES + 2);
  }
  return payload;
}
