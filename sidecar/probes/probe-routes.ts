import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type LocalAnswer, type Routes, text } from '../admin/local-server.ts';
import type { Probe } from './probe-schema.ts';
import { isHook, runProbe } from './run-probe.ts';

/** `GET /app-health/CONTAINER/KIND` for each probe, asked of the app at `address`. */
export function probeRoutes(probes: readonly Probe[], address: string): Routes {
  return Object.fromEntries(
    probes.map((probe) => [
      `GET /app-health/${probe.container}/${probe.kind}`,
      (query: URLSearchParams, request: IncomingMessage) =>
        isAllowed(probe, query.get('key') ?? '')
          ? answer(probe, address, request)
          : text(403, 'this hook is for the kubelet alone'),
    ]),
  );
}

/** A probe harms nobody who asks for it; a hook may, so it has a key. */
function isAllowed({ key }: Probe, given: string): boolean {
  const hash = (word: string) => createHash('sha256').update(word).digest();
  return key === undefined || timingSafeEqual(hash(key), hash(given));
}

async function answer(probe: Probe, address: string, request: IncomingMessage): Promise<LocalAnswer | undefined> {
  const gone = new AbortController();
  const onClose = () => gone.abort(new Error('the caller went away'));
  request.socket.once('close', onClose);
  const userAgent = request.headers['user-agent'] ?? '';
  const { status, message, isAnswered } = await runProbe(probe, address, userAgent, gone.signal);
  request.socket.off('close', onClose);
  if (!isHook(probe)) return text(status, message);
  // to the kubelet every answer to a hook is good, whatever its status: only a connection that breaks tells it otherwise
  return isAnswered ? text(200, message) : undefined;
}
