import http from 'node:http';
import type { HttpProbe } from './probe-schema.ts';
import { requestTarget } from './request-target.ts';

/** The kubelet reads no more of an answer, and is content with that much. */
const MAX_BODY_BYTES = 10 * 1024;
/** Requests of one probe: the kubelet does not follow the tenth redirect. */
const MAX_REQUESTS = 10;
const REDIRECTS = [301, 302, 303, 307, 308];
const DEFAULT_PORT = { http: 80, https: 443 } as const;

/** Who asks: the address of the app, and what the kubelet calls itself. */
export interface Asker {
  readonly address: string;
  readonly userAgent: string;
  readonly signal: AbortSignal;
}

interface Hop {
  readonly scheme: 'http' | 'https';
  readonly port: number;
  readonly target: string;
  readonly host: string;
}

/**
 * Asks the app as the kubelet would (pkg/probe/http): GET on a connection of its own, any certificate, redirects followed as
 * long as they stay at the same host. Over HTTP/1.1 also where an app offers HTTP/2 by ALPN. Resolves to the last status; rejects where there is no whole answer.
 */
export async function probeHttp(probe: HttpProbe, asker: Asker): Promise<number> {
  const authority = authorityOf(asker.address, probe.port);
  const host = firstValue(probe, 'host');
  let hop: Hop = {
    ...probe,
    target: requestTarget(probe.path),
    host: host === undefined || host === '' ? authority : host,
  };
  for (let requests = 1; ; requests++) {
    const { status, location } = await ask(hop, probe, asker);
    if (!REDIRECTS.includes(status) || location === undefined) return status;
    const next = redirected(hop, location, asker.address);
    if (next === undefined) return status;
    if (requests === MAX_REQUESTS) throw new Error(`stopped after ${MAX_REQUESTS} redirects`);
    hop = next;
  }
}

async function ask(
  { scheme, port, target, host }: Hop,
  probe: HttpProbe,
  { address, userAgent, signal }: Asker,
): Promise<{ readonly status: number; readonly location: string | undefined }> {
  const request = scheme === 'https' ? (await import('node:https')).request : http.request;
  const headers = ['Host', host, ...headersOf(probe, userAgent)];
  const options = { host: address, port, path: target, headers, agent: false, signal, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, servername: '' }, (response) => {
      const done = () => {
        resolve({ status: response.statusCode ?? 0, location: response.headers.location });
        response.destroy();
      };
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_BODY_BYTES) done();
      });
      response.once('end', done);
      response.once('error', reject);
    });
    sent.once('error', reject);
    sent.end();
  });
}

/** Where a redirect leads, if it stays at the host that was asked. A host of the probe's own is kept by relative ones. */
function redirected({ scheme, port, target, host }: Hop, location: string, address: string): Hop | undefined {
  const from = `${scheme}://${authorityOf(address, port)}`;
  const url = URL.parse(location, `${from}${target}`);
  if (url === null) throw new Error(`a redirect to ${JSON.stringify(location.slice(0, 200))}, which is no URL`);
  if (url.hostname !== URL.parse(from)?.hostname) return undefined;
  const next = url.protocol === 'https:' ? 'https' : url.protocol === 'http:' ? 'http' : undefined;
  if (next === undefined) throw new Error(`a redirect to ${url.protocol}, which is not followed`);
  const isAbsolute = /^[a-z][a-z0-9+.-]*:/i.test(location);
  return {
    scheme: next,
    port: url.port === '' ? DEFAULT_PORT[next] : Number(url.port),
    target: `${url.pathname}${url.search}`,
    host: isAbsolute ? url.host : host,
  };
}

/** The probe's own headers, and the two the kubelet adds; one that is given empty is left out (pkg/probe/http). */
function headersOf(probe: HttpProbe, userAgent: string): string[] {
  const accept = firstValue(probe, 'accept');
  const isOwn = accept === '' ? /^(host|user-agent|accept)$/i : /^(host|user-agent)$/i;
  const others = probe.headers.filter(({ name }) => !isOwn.test(name));
  const agent = firstValue(probe, 'user-agent') ?? userAgent;
  return [
    ...(agent === '' ? [] : ['User-Agent', agent]),
    ...others.flatMap(({ name, value }) => [name, value]),
    ...(accept === undefined ? ['Accept', '*/*'] : []),
    ...['Connection', 'close'],
  ];
}

function firstValue(probe: HttpProbe, lowerName: string): string | undefined {
  return probe.headers.find(({ name }) => name.toLowerCase() === lowerName)?.value;
}

function authorityOf(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
