import type { RequestHead, ResponseHead } from '../message.ts';
import { fieldComplaint, isValue } from './field-rules.ts';

/** A request as its fields tell it. */
export interface ReadRequest {
  readonly head: RequestHead;
  /** Extended CONNECT to `websocket` (RFC 8441 §4). */
  readonly isUpgrade: boolean;
  readonly contentLength: number | undefined;
  readonly expectsContinue: boolean;
}

/** RFC 9110 §9.1: a token; upper case by usage, as HTTP/1.1's side of this codec reads it. */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Z]{1,32}$/;
/** RFC 9113 §8.3.1: a path, or `*`; visible characters only, as in a request line. */
const PATH = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;
const LENGTH = /^\d{1,15}$/;

/**
 * Reads the fields of a request (RFC 9113 §8.3.1); a string: what is wrong with them. The authority stands first among the
 * headers, as `host`; crumbs of cookies are joined (§8.2.3).
 */
export function readRequest(fields: string[], isCased: boolean): ReadRequest | string {
  let method: string | undefined;
  let scheme: string | undefined;
  let authority: string | undefined;
  let path: string | undefined;
  let protocol: string | undefined;
  let at = 0;
  for (; at < fields.length; at += 2) {
    const name = fields[at] ?? '';
    if (name.charCodeAt(0) !== COLON) break;
    const value = fields[at + 1] ?? '';
    let isTwice = false;
    switch (name) {
      case ':method':
        isTwice = method !== undefined;
        method = value;
        break;
      case ':scheme':
        isTwice = scheme !== undefined;
        scheme = value;
        break;
      case ':authority':
        isTwice = authority !== undefined;
        authority = value;
        break;
      case ':path':
        isTwice = path !== undefined;
        path = value;
        break;
      case ':protocol':
        isTwice = protocol !== undefined;
        protocol = value;
        break;
      default:
        return `unknown pseudo-header field ${JSON.stringify(name.slice(0, 60))} (RFC 9113 §8.3)`;
    }
    if (isTwice) return `${name} twice (RFC 9113 §8.3)`;
  }
  if (method === undefined || !METHOD.test(method)) return 'no valid :method (RFC 9113 §8.3.1)';
  const isUpgrade = method === 'CONNECT' && protocol !== undefined;
  if (method === 'CONNECT' && !isUpgrade) return 'CONNECT is not served';
  if (protocol !== undefined && !isUpgrade) return ':protocol without CONNECT (RFC 8441 §4)';
  if (isUpgrade && protocol !== 'websocket') return `:protocol ${JSON.stringify(protocol)} is not served`;
  if (scheme === undefined || !SCHEME.test(scheme)) return 'no valid :scheme (RFC 9113 §8.3.1)';
  if (path === undefined || !PATH.test(path)) return 'no valid :path (RFC 9113 §8.3.1)';
  if (authority !== undefined && !isValue(authority)) return 'invalid :authority (RFC 9113 §8.3.1)';
  const complaint = fieldComplaint(fields, at, isCased);
  if (complaint !== undefined) return complaint;
  return withHeaders(isUpgrade ? 'GET' : method, path, authority, isUpgrade, fields, at);
}

const COLON = 0x3a;

function withHeaders(
  method: string,
  target: string,
  authority: string | undefined,
  isUpgrade: boolean,
  fields: string[],
  start: number,
): ReadRequest | string {
  let contentLength: number | undefined;
  let expectsContinue = false;
  let hosts = 0;
  let cookies = 0;
  for (let index = start; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    const value = fields[index + 1] ?? '';
    switch (name.length) {
      case 4:
        if (name === 'host' || name.toLowerCase() === 'host') {
          hosts++;
          // two that agree are one; two that differ would be read in two ways (RFC 9113 §8.3.1)
          if (authority !== undefined && value.toLowerCase() !== authority.toLowerCase())
            return ':authority and host differ (RFC 9113 §8.3.1)';
        }
        break;
      case 6:
        if (name === 'cookie' || name.toLowerCase() === 'cookie') cookies++;
        else if (name.toLowerCase() === 'expect') expectsContinue = value.toLowerCase() === '100-continue';
        break;
      case 14:
        if (name === 'content-length' || name.toLowerCase() === 'content-length') {
          if (contentLength !== undefined) return 'two content-length fields (RFC 9110 §8.6)';
          if (!LENGTH.test(value)) return `content-length ${JSON.stringify(value.slice(0, 60))} is not a number`;
          contentLength = Number(value);
        }
        break;
    }
  }
  let headers: string[];
  if (authority === undefined) headers = fields.slice(start);
  else {
    // :authority is itself among the pseudo-header fields, so that there is room for it before the others
    headers = fields.slice(start - 2);
    headers[0] = 'host';
    headers[1] = authority;
    if (hosts > 0) headers = headers.filter((_, index) => index < 2 || !isHost(headers[index - (index % 2)]));
  }
  if (cookies > 1) headers = joinCookies(headers);
  return { head: { method, target, headers, version: '2' }, isUpgrade, contentLength, expectsContinue };
}

function isHost(name: string | undefined): boolean {
  return name?.length === 4 && name.toLowerCase() === 'host';
}

/** RFC 9113 §8.2.3: before they go anywhere else, crumbs become one field again, where the first stood. */
function joinCookies(headers: readonly string[]): string[] {
  const joined: string[] = [];
  let first = -1;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    const value = headers[index + 1] ?? '';
    if (name.length !== 6 || name.toLowerCase() !== 'cookie') joined.push(name, value);
    else if (first === -1) {
      first = joined.length + 1;
      joined.push(name, value);
    } else joined[first] += `; ${value}`;
  }
  return joined;
}

/** A response as its fields tell it. */
export interface ReadResponse {
  readonly head: ResponseHead;
  readonly contentLength: number | undefined;
}

/** Reads the fields of a response (RFC 9113 §8.3.2); a string: what is wrong with them. */
export function readResponse(fields: string[], isCased: boolean): ReadResponse | string {
  const status = fields[1] ?? '';
  if (fields[0] !== ':status' || !/^[1-9]\d\d$/.test(status)) return 'no valid :status (RFC 9113 §8.3.2)';
  const complaint = fieldComplaint(fields, 2, isCased);
  if (complaint !== undefined) return complaint;
  let contentLength: number | undefined;
  for (let index = 2; index < fields.length; index += 2) {
    const name = fields[index] ?? '';
    if (name.length !== 14 || name.toLowerCase() !== 'content-length') continue;
    const value = fields[index + 1] ?? '';
    if (contentLength !== undefined || !LENGTH.test(value)) return 'invalid content-length (RFC 9110 §8.6)';
    contentLength = Number(value);
  }
  return { head: { status: Number(status), reason: '', headers: fields.slice(2) }, contentLength };
}
