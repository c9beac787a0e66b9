import { ProtocolError } from './protocol-error.ts';

/** RFC 9112 §3: a token, one space, a target without spaces and controls, one space, the version. */
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Z]{1,32}) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
/** RFC 9112 §4. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
/** Longest part of a line that is shown in a reason. */
const MAX_SHOWN = 60;

export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly version: '1.0' | '1.1';
}

export function readRequestLine(line: string): RequestLine {
  const match = REQUEST_LINE.exec(line);
  if (match === null)
    throw new ProtocolError(`not a request line: ${JSON.stringify(line.slice(0, MAX_SHOWN))} (RFC 9112 §3)`);
  const [, method = '', target = '', minor] = match;
  if (method === 'CONNECT') throw new ProtocolError('CONNECT is not served');
  return { method, target, version: minor === '0' ? '1.0' : '1.1' };
}

export interface StatusLine {
  readonly status: number;
  readonly reason: string;
  readonly version: '1.0' | '1.1';
}

export function readStatusLine(line: string): StatusLine {
  const match = STATUS_LINE.exec(line);
  if (match === null)
    throw new ProtocolError(`not a status line: ${JSON.stringify(line.slice(0, MAX_SHOWN))} (RFC 9112 §4)`);
  return { status: Number(match[2]), reason: match[3] ?? '', version: match[1] === '0' ? '1.0' : '1.1' };
}
