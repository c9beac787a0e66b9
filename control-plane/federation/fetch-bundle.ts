import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { getCACertificates } from 'node:tls';
import { MAX_BUNDLE_BYTES } from '#policy/trust/spiffe-bundle.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { type BundleEndpointConfiguration, urlComplaint } from './federation-configuration.ts';

/** From the look-up of the name to the last byte, redirections among it. */
const FETCH_TIMEOUT_MS = 20_000;
const MAX_REDIRECTS = 3;
const REDIRECTIONS: ReadonlySet<number | undefined> = new Set([301, 302, 303, 307, 308]);

/** The roots (DER) that vouch for servers of a trust domain now; undefined: none is known. */
export type RootsOf = (trustDomain: string) => readonly Buffer[] | undefined;

/**
 * The text that a SPIFFE bundle endpoint serves (SPIFFE Federation §5.2). By node:https: it is one GET in minutes, over a connection of its
 * own, and what must be ours, the proof of an X509-SVID, is a function that node:tls calls. The server must prove itself as the
 * profile says, and after a redirection the next in the same way. Rejects in one sentence.
 */
export async function fetchBundle(
  endpoint: BundleEndpointConfiguration,
  rootsOf: RootsOf,
  signal: AbortSignal,
): Promise<string> {
  const proof = await proofOf(endpoint, rootsOf);
  const deadline = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  const either = AbortSignal.any([signal, deadline]);
  let url = endpoint.url;
  try {
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const answer = await get(url, proof, either);
      if (typeof answer === 'string') return answer;
      url = answer.location;
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isSlow = deadline.aborted;
    throw new Error(`${url}: ${isSlow ? `no whole answer within ${FETCH_TIMEOUT_MS} ms` : reason}`, { cause: error });
  }
  throw new Error(`${endpoint.url}: more than ${MAX_REDIRECTS} redirections`);
}

/** What TLS asks of the server. */
type Proof = Pick<RequestOptions, 'ca' | 'checkServerIdentity' | 'allowPartialTrustChain'>;

async function proofOf(endpoint: BundleEndpointConfiguration, rootsOf: RootsOf): Promise<Proof> {
  if (endpoint.profile === 'https_web') return { ca: await webRoots(endpoint.serverRootsFile) };
  const { spiffeId, trustDomain } = endpoint;
  const roots = rootsOf(trustDomain) ?? [];
  // An empty list would be read as: those of the system.
  if (roots.length === 0)
    throw new Error(`no bundle of ${trustDomain} is known yet, and its server cannot be believed`);
  return {
    ca: certificatesToPem(roots),
    // the authorities of a bundle are trusted as they are, self-signed or not (X509-SVID §5.2)
    allowPartialTrustChain: true,
    checkServerIdentity: (_host, { raw }) => serverComplaint(raw, spiffeId),
  };
}

async function webRoots(file: string | undefined): Promise<string | string[]> {
  if (file !== undefined) return readFile(file, 'utf8');
  const system = getCACertificates('system');
  return system.length > 0 ? system : getCACertificates('bundled'); // an image without any of its own
}

/** X509-SVID §5: a leaf with this very ID, of whatever path, and no other. Its chain and times were checked before. */
function serverComplaint(leaf: Buffer, expected: string): Error | undefined {
  const what = provenBy(leaf);
  return what === expected ? undefined : new Error(`the server proved ${what}, expected ${expected}`);
}

/** Throws nothing: where it is asked, an exception would be nobody's. */
function provenBy(leaf: Buffer): string {
  try {
    const { names, isAuthority } = readCertificate(leaf).extensions;
    if (isAuthority) return 'the certificate of an authority';
    const uris = names.filter(({ form }) => form === 'uri').map(({ value }) => value.toString('latin1'));
    return uris.join(', ') || 'a certificate without a SPIFFE ID';
  } catch (error) {
    return `a certificate that cannot be read (${error instanceof Error ? error.message : error})`;
  }
}

async function get(url: string, proof: Proof, signal: AbortSignal): Promise<string | { readonly location: string }> {
  const response = await answer(url, {
    ...proof,
    agent: false, // no session with another endpoint is resumed
    minVersion: 'TLSv1.2', // SPIFFE Federation §5: as Mozilla's intermediate configuration
    rejectUnauthorized: true,
    signal,
    headers: { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'lateral' },
  });
  try {
    const { statusCode } = response;
    if (REDIRECTIONS.has(statusCode)) return redirection(url, response);
    if (statusCode !== 200) throw new Error(`answered ${statusCode}, expected 200`);
    return await bodyOf(response);
  } finally {
    response.destroy();
  }
}

function answer(url: string, options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, options, resolve).on('error', reject).end();
  });
}

function redirection(from: string, { headers }: IncomingMessage): { readonly location: string } {
  const location = URL.parse(headers.location ?? '', from)?.href ?? '';
  const complaint = urlComplaint(location);
  if (complaint !== undefined) throw new Error(`redirects to where no bundle is fetched from: ${complaint}`);
  return { location };
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    bytes += chunk.length;
    if (bytes > MAX_BUNDLE_BYTES) throw new Error(`the answer exceeds the limit of ${MAX_BUNDLE_BYTES} bytes`);
    chunks.push(chunk);
  }
  if (!response.complete) throw new Error('the answer ended before its end');
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
}
