import { STATUS_CODES } from 'node:http';
import type { ResponseHead } from './message.ts';

/** A response head as HTTP/1.1 bytes (RFC 9112 §4), for answers that no server object writes. */
export function serializeHead(head: ResponseHead): Buffer {
  const reason = head.reason === '' ? (STATUS_CODES[head.status] ?? '') : head.reason;
  let text = `HTTP/1.1 ${head.status} ${reason}\r\n`;
  for (let index = 0; index < head.headers.length; index += 2) {
    text += `${head.headers[index]}: ${head.headers[index + 1]}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, 'latin1');
}
