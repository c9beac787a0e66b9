import { type FlatHeaders, headerValues } from './flat-headers.ts';

/** Of which Envoy keeps one value, so that its rules see several fields as one. Found by asking Envoy 1.40. */
const JOINED: ReadonlySet<string> = new Set([
  ...['accept', 'accept-encoding', 'access-control-allow-origin', 'access-control-request-headers'],
  ...['access-control-request-method', 'access-control-request-private-network', 'allow', 'authorization'],
  ...['cache-control', 'content-encoding', 'content-type', 'expect', 'grpc-accept-encoding', 'grpc-timeout'],
  ...['if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'origin', 'pragma'],
  ...['proxy-status', 'referer', 'user-agent', 'via', 'x-client-trace-id', 'x-envoy-attempt-count'],
  ...['x-envoy-decorator-operation', 'x-envoy-downstream-service-cluster', 'x-envoy-downstream-service-node'],
  ...['x-envoy-external-address', 'x-envoy-is-timeout-retry', 'x-envoy-original-host', 'x-envoy-original-path'],
  ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-port', 'x-forwarded-proto', 'x-request-id'],
]);

export function isJoinedHeader(lowerName: string): boolean {
  return JOINED.has(lowerName);
}

/** The value of a header whose fields make one; undefined: there is none. One that is empty adds nothing to it, as in Envoy. */
export function joinedHeader(headers: FlatHeaders, lowerName: string): string | undefined {
  const values = headerValues(headers, lowerName);
  if (values === undefined || typeof values === 'string') return values;
  return values.filter((value) => value !== '').join(',');
}
