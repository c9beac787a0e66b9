import { isPreface, isTls, openingOf } from './detect-protocol.ts';
import type { Question } from './first-bytes.ts';

/** What a connection turned out to speak. `late-tcp`: it did not say enough in time. `unwanted-tls`: TLS where none is spoken. */
export type Speech = 'tls' | 'http1' | 'http2' | 'tcp' | 'late-tcp' | 'unrecognized' | 'unwanted-tls';

/** What the app behind a port speaks: HTTP of any version, something else, or whatever the connection turns out to. */
export type PortProtocol = 'http' | 'tcp' | 'auto';

/** How long a PERMISSIVE port waits for TLS or a whole request line; as long as for a handshake. */
export const FIRST_LINE_TIMEOUT_MS = 10_000;
/**
 * How long a caller that could be one of a server-first protocol may be silent: its connection begins so much later.
 * A round trip between continents fits in.
 */
export const DETECTION_TIMEOUT_MS = 1_000;

/** A plaintext port for HTTP: whatever is not HTTP/2 with prior knowledge is for the codec of HTTP/1.1 to judge. */
export const WHICH_HTTP: Question<Speech> = {
  judge(bytes) {
    const is2 = isPreface(bytes);
    if (is2 === undefined) return undefined;
    return is2 ? 'http2' : 'http1';
  },
  timeoutMs: undefined, // idle connections and slow heads have their limits at the listener
  late: 'http1',
};

/** `auto`, within TLS without ALPN. */
export const WHICH_PROTOCOL: Question<Speech> = {
  judge: anyProtocol,
  timeoutMs: DETECTION_TIMEOUT_MS,
  late: 'late-tcp',
};

/** DISABLE ports whose app does not get whatever comes: TLS is the app's own affair where it may speak it. */
export const PLAINTEXT: { readonly [P in Exclude<PortProtocol, 'tcp'>]: Question<Speech> } = {
  http: {
    ...WHICH_HTTP,
    judge: (bytes) => {
      const tls = isTls(bytes);
      return tls === true ? 'unwanted-tls' : tls === false ? WHICH_HTTP.judge(bytes) : undefined;
    },
  },
  auto: WHICH_PROTOCOL,
};

/** PERMISSIVE ports, by the protocol of the app: TLS is always the mesh's. */
export const PERMISSIVE: { readonly [P in PortProtocol]: Question<Speech> } = {
  http: { judge: (bytes) => tlsOr(bytes, plainHttp), timeoutMs: FIRST_LINE_TIMEOUT_MS, late: 'unrecognized' },
  tcp: { judge: (bytes) => tlsOr(bytes, () => 'tcp'), timeoutMs: DETECTION_TIMEOUT_MS, late: 'late-tcp' },
  auto: { judge: (bytes) => tlsOr(bytes, anyProtocol), timeoutMs: DETECTION_TIMEOUT_MS, late: 'late-tcp' },
};

function tlsOr(bytes: Buffer, plaintext: (bytes: Buffer) => Speech | undefined): Speech | undefined {
  const tls = isTls(bytes);
  if (tls === undefined) return undefined;
  return tls ? 'tls' : plaintext(bytes);
}

function plainHttp(bytes: Buffer): Speech | undefined {
  const opening = openingOf(bytes);
  return opening === 'almost-http' || opening === 'other' ? 'unrecognized' : opening;
}

function anyProtocol(bytes: Buffer): Speech | undefined {
  const opening = openingOf(bytes);
  if (opening === 'other') return 'tcp';
  return opening === 'almost-http' ? 'http1' : opening; // which the codec refuses
}
