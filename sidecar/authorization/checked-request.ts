import type { FlatHeaders } from '#policy/http/flat-headers.ts';

/** Says whether the body that is told is a part of it; the caller's own word for it is not told. Source: Envoy. */
export const PARTIAL_BODY = 'x-envoy-auth-partial-body';

/** The part of an HTTP request's body that a provider is told. */
export interface CheckedBody {
  readonly bytes: Buffer;
  /** There is more of it. */
  readonly isPart: boolean;
}

/** What a provider may be told of a connection. */
export interface CheckedConnection {
  /** The proven caller's SPIFFE ID; empty: it has none. */
  readonly principal: string;
  readonly address: string;
  readonly port: number;
  /** Own SPIFFE ID. */
  readonly ownPrincipal: string;
  readonly ownAddress: string;
  /** The app's. */
  readonly ownPort: number;
  readonly serverName: string | undefined;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Undefined: the connection is not HTTP. */
  readonly http: CheckedHttp | undefined;
}

export interface CheckedHttp {
  readonly id: string;
  readonly method: string;
  readonly host: string;
  /** With the query. */
  readonly target: string;
  readonly version: '1.0' | '1.1' | '2';
  readonly isSecure: boolean;
  /** End-to-end ones, and x-forwarded-client-cert of this hop. */
  readonly headers: FlatHeaders;
  readonly traceparent: string;
  /** Undefined: the provider is told of none. */
  readonly body: CheckedBody | undefined;
  /** Bytes that the caller declared; -1: unknown. */
  readonly size: number;
}
