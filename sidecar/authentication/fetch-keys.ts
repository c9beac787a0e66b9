import { getCACertificates } from 'node:tls';
import { MAX_KEY_SET_BYTES } from '#policy/authentication/key-set.ts';
import type { RemoteKeySource } from '#policy/authentication/token-rule.ts';
import { isRecord } from '#policy/schema/schema.ts';

/**
 * The text of the JWK set that the source names, by http or https (system's roots). Redirections are not followed: what a policy names is what is
 * believed. The source's time is for everything, from the look-up of the name to the last byte. Rejects in one sentence.
 */
export async function fetchKeys(source: RemoteKeySource, closing: AbortSignal): Promise<string> {
  const deadline = AbortSignal.timeout(source.timeoutMs);
  const either = AbortSignal.any([closing, deadline]);
  let { url } = source;
  try {
    if (source.kind === 'discovery') url = keysUrlOf(await get(url, either), url);
    return await get(url, either);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const isSlow = deadline.aborted;
    throw new Error(`${url}: ${isSlow ? `no whole answer within ${source.timeoutMs} ms` : reason}`, { cause: error });
  }
}

/** OpenID Connect Discovery §3: `jwks_uri`. What was got by https does not lead to http. */
function keysUrlOf(configuration: string, from: string): string {
  let document: unknown;
  try {
    document = JSON.parse(configuration);
  } catch {
    throw new Error('the OpenID configuration is not JSON');
  }
  const given = isRecord(document) ? document.jwks_uri : undefined;
  const url = typeof given === 'string' ? URL.parse(given) : null;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && from.startsWith('http:'));
  if (url === null || !isSafe) throw new Error('the OpenID configuration names no jwks_uri that can be fetched');
  return url.href;
}

const HEADERS = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'lateral' };

async function get(url: string, signal: AbortSignal): Promise<string> {
  const { Agent, request } = (await import('undici')).default; // the bundle has no others of a CommonJS package
  const dispatcher = new Agent({ pipelining: 0, connect: { ca: roots(), minVersion: 'TLSv1.2' } });
  try {
    const { statusCode, body } = await request(url, { dispatcher, signal, headers: HEADERS });
    if (statusCode === 200) return await textOf(body);
    throw new Error(`answered ${statusCode}, expected 200`);
  } finally {
    await dispatcher.destroy(); // one GET in minutes keeps no connection
  }
}

/** The system's; Node's own in an image without any; and those of NODE_EXTRA_CA_CERTS. */
function roots(): string[] {
  const system = getCACertificates('system');
  return [...(system.length > 0 ? system : getCACertificates('bundled')), ...getCACertificates('extra')];
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > MAX_KEY_SET_BYTES) throw new Error(`the answer exceeds the limit of ${MAX_KEY_SET_BYTES} bytes`);
    chunks.push(chunk);
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
}
