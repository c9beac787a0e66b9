import { DICTIONARY } from '../sidecar/http/h1/generate-messages.ts';
import { readResponse } from '../sidecar/http/h1/read-response.ts';
import { RESPONSE_ATTACKS } from '../sidecar/http/h1/response-attacks.ts';
import { cutAt } from '../sidecar/http/h1/split-bytes.ts';
import { type FuzzTarget, mustEqual, numberOf } from './fuzz-target.ts';

const MAX_SINGLE_BYTES = 512;
const METHODS = ['GET', 'HEAD'] as const;

/** ResponseParser, in answer to GET and to HEAD: refuses by ProtocolError alone; all splits read alike. */
export const h1Response: FuzzTarget = {
  name: 'h1-response',
  sources: ['/sidecar/http/h1/'],
  seeds: () =>
    RESPONSE_ATTACKS.filter(({ bytes }) => bytes.length < 2_000).map(({ bytes }) => Buffer.from(bytes, 'latin1')),
  dictionary: [...DICTIONARY, 'HTTP/1.1 103 X\r\n\r\n', '204 ', '304 ', '101 ', 'Keep-Alive: timeout=5\r\n'].map(
    (text) => Buffer.from(text, 'latin1'),
  ),
  maxBytes: 4_096,
  run(bytes) {
    const seed = numberOf(bytes);
    const places = [seed % (bytes.length + 1), (seed >>> 8) % (bytes.length + 1), (seed >>> 16) % (bytes.length + 1)];
    return METHODS.map((method) => {
      const lines = readResponse([bytes], method);
      const expected = lines.join('\n');
      mustEqual(readResponse(cutAt(bytes, places), method).join('\n'), expected, `${method}, split at ${places}`);
      if (bytes.length <= MAX_SINGLE_BYTES) {
        const single = [...bytes].map((byte) => Buffer.of(byte));
        mustEqual(readResponse(single, method).join('\n'), expected, `${method}, byte by byte`);
      }
      for (const line of lines) if (/[\0\r\n]/.test(line)) throw new Error(`a control character in ${line}`);
      return lines.map((line) => line.replace(/"(?:[^"\\]|\\.)*"|\d+/g, '_').slice(0, 80)).join(' ');
    }).join(' | ');
  },
};
