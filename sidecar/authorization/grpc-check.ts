import { isUtf8 } from 'node:buffer';
import { CHECK_PATH, type Provider } from '#policy/authorization/provider.ts';
import { dashedName } from '#policy/http/dashed-name.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import {
  CheckRequest,
  CheckResponse,
  type DeniedHttpResponse,
  type HeaderValueOption,
  type OkHttpResponse,
} from '#proto/gen/lateral/v1/external_authorization.ts';
import type { RequestHead } from '../http/message.ts';
import type { WholeAnswer } from './answer-collector.ts';
import { type CheckedConnection, type CheckedHttp, PARTIAL_BODY } from './checked-request.ts';
import { checkHeader, type HeaderChange, MAX_CHANGED_HEADERS, mayChange } from './header-changes.ts';
import { checkQueryChanges, MAX_CHANGED_PARAMETERS } from './query-changes.ts';
import { MalformedAnswer, type RequestChanges, type Verdict } from './verdict.ts';

/** gRPC over HTTP/2: one byte says whether the message is compressed, four how long it is. */
const PREFIX_BYTES = 5;

/** A call of Check, as it goes to the provider; the messages are those of proto/lateral/v1/external_authorization.proto. */
export function grpcCheck(provider: Provider, checked: CheckedConnection): { head: RequestHead; body: Buffer } {
  const { host, port, timeoutMs } = provider;
  const headers = ['host', `${host.includes(':') ? `[${host}]` : host}:${port}`, 'content-type', 'application/grpc'];
  headers.push('te', 'trailers', 'grpc-timeout', `${timeoutMs}m`, 'user-agent', 'lateral');
  if (checked.http !== undefined) headers.push('traceparent', checked.http.traceparent);
  const message = CheckRequest.encode(checkRequest(provider, checked)).finish();
  const body = Buffer.alloc(PREFIX_BYTES + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, PREFIX_BYTES);
  return { head: { method: 'POST', target: CHECK_PATH, headers, version: '2' }, body };
}

function checkRequest(provider: Provider, checked: CheckedConnection): CheckRequest {
  const { http, startedAtMs, serverName } = checked;
  const time = { seconds: Math.floor(startedAtMs / 1_000), nanos: (startedAtMs % 1_000) * 1_000_000 };
  const peer = (principal: string, address: string, portValue: number) => ({
    address: { socketAddress: { address, portValue } },
    principal,
  });
  return {
    attributes: {
      source: peer(checked.principal, checked.address, checked.port),
      destination: peer(checked.ownPrincipal, checked.ownAddress, checked.ownPort),
      request: { time, http: http === undefined ? undefined : httpRequest(provider, http) },
      contextExtensions: {},
      tlsSession: serverName === undefined ? undefined : { sni: serverName },
    },
  };
}

const PROTOCOLS = { '1.0': 'HTTP/1.0', '1.1': 'HTTP/1.1', '2': 'HTTP/2' } as const;

function httpRequest(provider: Provider, http: CheckedHttp) {
  const { id, method, host, target: path, version, isSecure, body, size } = http;
  const scheme = isSecure ? 'https' : 'http';
  const asBytes = provider.body?.asBytes === true;
  return {
    ...{ id, method, host, path, scheme, size, protocol: PROTOCOLS[version] },
    headers: { ...headerMap(http), ':authority': host, ':method': method, ':path': path, ':scheme': scheme },
    body: body === undefined || asBytes ? '' : textOf(body.bytes),
    rawBody: body === undefined || !asBytes ? Buffer.alloc(0) : body.bytes,
  };
}

/** Names in lower case, each once. Source: Envoy, which joins values by commas. */
function headerMap({ headers, body }: CheckedHttp): { [name: string]: string } {
  const map = new Map<string, string>();
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]?.toLowerCase() ?? '';
    if (name === 'host' || dashedName(name) === PARTIAL_BODY) continue;
    const value = textOf(Buffer.from(headers[index + 1] ?? '', 'latin1'));
    const known = map.get(name);
    map.set(name, known === undefined ? value : `${known},${value}`);
  }
  if (body !== undefined) map.set(PARTIAL_BODY, String(body.isPart));
  return Object.fromEntries(map);
}

/** No longer than the bytes, as a server bounds what it takes: what is no UTF-8 becomes `!`. Source: Envoy. */
function textOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return isUtf8(bytes) ? text : text.replaceAll('\ufffd', '!');
}

/** What the answer to a call of Check says. Throws MalformedAnswer. */
export function grpcVerdict({ status, headers, body, trailers }: WholeAnswer): Verdict {
  if (status !== 200) throw new MalformedAnswer(`HTTP status ${status} in place of a gRPC answer`);
  const grpcStatus = headerValue(trailers, 'grpc-status') ?? headerValue(headers, 'grpc-status');
  if (grpcStatus !== '0') {
    // a status that is no number may be anything
    const shown = grpcStatus !== undefined && /^[0-9]{1,3}$/.test(grpcStatus) ? grpcStatus : 'none';
    return { kind: 'failed', reason: `grpc-status ${shown}` };
  }
  const { status: code, httpResponse } = read(body);
  if (code === undefined && httpResponse === undefined) throw new MalformedAnswer('the answer is empty');
  const shown = `grpc ${code?.code ?? 0}`;
  if ((code?.code ?? 0) !== 0) {
    const denied = httpResponse?.$case === 'deniedResponse' ? httpResponse.value : undefined;
    return deniedVerdict(denied, shown);
  }
  if (httpResponse?.$case === 'deniedResponse')
    throw new MalformedAnswer('the answer allows by its status, and denies by its response');
  const changes = httpResponse === undefined ? undefined : changesOf(httpResponse.value);
  return { kind: 'allowed', status: shown, changes };
}

function read(body: Buffer): CheckResponse {
  if (body.length < PREFIX_BYTES) throw new MalformedAnswer('no message');
  if (body[0] !== 0) throw new MalformedAnswer('a compressed message, which nobody asked for');
  if (body.readUInt32BE(1) !== body.length - PREFIX_BYTES) throw new MalformedAnswer('not one whole message');
  try {
    return CheckResponse.decode(body.subarray(PREFIX_BYTES));
  } catch {
    throw new MalformedAnswer('the message is no CheckResponse');
  }
}

/** Source: Envoy; a status that is not given is 403. */
function deniedVerdict(denied: DeniedHttpResponse | undefined, shown: string): Verdict {
  const status = denied?.status?.code || 403;
  if (status < 200 || status > 599) throw new MalformedAnswer(`status ${status} is none of a response`);
  const headers = changesFrom(denied?.headers ?? []).flatMap(({ name, value }) =>
    mayChange(name) ? [name, value] : [],
  );
  const answer = { status, headers, body: Buffer.from(denied?.body ?? '') };
  return { kind: 'denied', status: `${shown}, HTTP ${status}`, answer };
}

function changesOf(ok: OkHttpResponse): RequestChanges {
  const set = ok.queryParametersToSet.map(({ key, value }) => [key, value] as const);
  const query = { set, removed: ok.queryParametersToRemove };
  if (set.length + query.removed.length > MAX_CHANGED_PARAMETERS) {
    throw new MalformedAnswer(`more than maxChangedParameters ${MAX_CHANGED_PARAMETERS} parameters`);
  }
  checkQueryChanges(query);
  if (ok.headersToRemove.length > MAX_CHANGED_HEADERS) throw tooMany();
  for (const name of ok.headersToRemove) checkHeader(name, '');
  return {
    headers: changesFrom(ok.headers),
    removed: ok.headersToRemove,
    query: set.length + query.removed.length === 0 ? undefined : query,
    toCaller: changesFrom(ok.responseHeadersToAdd),
  };
}

function changesFrom(options: readonly HeaderValueOption[]): readonly HeaderChange[] {
  if (options.length > MAX_CHANGED_HEADERS) throw tooMany();
  return options.map((option) => {
    const name = option.header?.key ?? '';
    const { rawValue, value: text = '' } = option.header ?? {};
    const bytes = rawValue === undefined || rawValue.length === 0 ? Buffer.from(text, 'utf8') : Buffer.from(rawValue);
    const value = bytes.toString('latin1');
    checkHeader(name, value);
    return { name, value: value.trim(), how: howOf(option) };
  });
}

/** `append` is older, and set by most; without either a header is set. Source: Envoy, of ext_authz. */
function howOf({ append, appendAction }: HeaderValueOption): HeaderChange['how'] {
  if (append !== undefined) return append.value ? 'append' : 'set';
  if (appendAction === 1) return 'add-if-absent';
  return appendAction === 3 ? 'set-if-present' : 'set';
}

function tooMany(): MalformedAnswer {
  return new MalformedAnswer(`more than maxChangedHeaders ${MAX_CHANGED_HEADERS} headers`);
}
