import { STATUS_CODES } from 'node:http';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { ResponseHead } from './message.ts';

/** A response head as HTTP/1.1 bytes (RFC 9112 §4), for answers that no server object writes. */
export function serializeHead(head: ResponseHead): Buffer {
  const reason = head.reason === '' ? (STATUS_CODES[head.status] ?? '') : head.reason;
  return Buffer.from(`HTTP/1.1 ${head.status} ${reason}\r\n${fieldLines(head.headers)}\r\n`, 'latin1');
}

/** Header or trailer fields as lines (RFC 9112 §5), without the empty line that ends the section. */
export function fieldLines(fields: FlatHeaders): string {
  let text = '';
  for (let index = 0; index < fields.length; index += 2) text += `${fields[index]}: ${fields[index + 1]}\r\n`;
  return text;
}
