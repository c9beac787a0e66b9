import { fieldLines } from '#sidecar/http/serialize-head.ts';
import { DICTIONARY } from '../sidecar/http/h1/generate-messages.ts';
import { type ReadRequest, readRequests, requestLines } from '../sidecar/http/h1/read-request.ts';
import { REQUEST_ATTACKS } from '../sidecar/http/h1/request-attacks.ts';
import { cutAt } from '../sidecar/http/h1/split-bytes.ts';
import { type FuzzTarget, mustEqual, numberOf } from './fuzz-target.ts';

/** Inputs up to this are also given byte by byte. */
const MAX_SINGLE_BYTES = 512;

/** RequestParser: refuses by ProtocolError alone; all splits read alike; what was read and is written again reads the same. */
export const h1Request: FuzzTarget = {
  name: 'h1-request',
  sources: ['/sidecar/http/h1/'],
  seeds: () =>
    REQUEST_ATTACKS.filter(({ bytes }) => bytes.length < 2_000).map(({ bytes }) => Buffer.from(bytes, 'latin1')),
  dictionary: DICTIONARY.map((text) => Buffer.from(text, 'latin1')),
  maxBytes: 4_096,
  run(bytes) {
    const reading = readRequests([bytes]);
    const expected = requestLines(reading).join('\n');
    const seed = numberOf(bytes);
    const places = [seed % (bytes.length + 1), (seed >>> 8) % (bytes.length + 1), (seed >>> 16) % (bytes.length + 1)];
    mustEqual(requestLines(readRequests(cutAt(bytes, places))).join('\n'), expected, `split at ${places}`);
    if (bytes.length <= MAX_SINGLE_BYTES) {
      const single = [...bytes].map((byte) => Buffer.of(byte));
      mustEqual(requestLines(readRequests(single)).join('\n'), expected, 'byte by byte');
    }
    for (const request of reading.requests) {
      checkRequest(request);
      if (request.isComplete) checkWritten(request);
    }
    return `${reading.requests.map(shapeOf).join(' ')} ${reading.error?.message.replace(/"(?:[^"\\]|\\.)*"|\d+/g, '_') ?? reading.isWithin}`;
  },
};

function checkRequest({ method, target, headers, contentLength, isChunked, body, isComplete }: ReadRequest): void {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Z]+$/.test(method) || method === 'CONNECT') throw new Error(`method ${method}`);
  if (!/^[\x21-\x7e\x80-\xff]+$/.test(target) || target.includes('#')) throw new Error(`target ${target}`);
  if (isChunked && contentLength !== undefined) throw new Error('two framings');
  if (!isChunked && isComplete && body.length !== (contentLength ?? 0))
    throw new Error(`body of ${body.length}, length ${contentLength}`);
  for (let index = 0; index < headers.length; index += 2) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(headers[index] ?? '')) throw new Error(`name ${headers[index]}`);
    const value = headers[index + 1] ?? '\0';
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value) || /^[ \t]|[ \t]$/.test(value)) throw new Error(`value ${value}`);
  }
}

/** As a sidecar writes it to the next hop: one chunk, the trailers as they were. */
function checkWritten(request: ReadRequest): void {
  const { method, target, version, headers, body, isChunked, trailers } = request;
  const head = `${method} ${target} HTTP/${version}\r\n${fieldLines(headers)}\r\n`;
  const size = body.length.toString(16);
  const content = isChunked
    ? `${body === '' ? '' : `${size}\r\n${body}\r\n`}0\r\n${fieldLines(trailers ?? [])}\r\n`
    : body;
  const again = readRequests([Buffer.from(head + content, 'latin1')]);
  mustEqual(
    requestLines(again).join('\n'),
    requestLines({ requests: [request], error: undefined, isWithin: false }).join('\n'),
    'written and read again',
  );
}

function shapeOf({
  isChunked,
  contentLength,
  body,
  trailers,
  isComplete,
  isLast,
  headers,
  version,
}: ReadRequest): string {
  const framing = isChunked ? 'chunked' : contentLength === undefined ? 'none' : 'length';
  const sizes = [headers.length / 2, body.length, trailers?.length ?? 0].map((size) => Math.ceil(Math.log2(size + 1)));
  return `${version}-${framing}-${sizes.join('.')}${isComplete ? '' : '…'}${isLast ? '!' : ''}`;
}
