import { answerOf } from '#sidecar/exchange/refuse.ts';
import { processBudget } from '#sidecar/http/h2/memory-budget.ts';
import type { OutgoingBody, ResponseHead, ServerRequest } from '#sidecar/http/message.ts';
import { plainHttpLane } from '#sidecar/listener/lane.ts';
import { Listener } from '#sidecar/listener/listener.ts';

/**
 * The program under attack: a plaintext listener as an outbound one is, with an app within. It tells its port when it
 * listens, and what it has used whenever it is asked.
 */
const CHUNK = Buffer.alloc(65_536, 'large body ');
const WIDE = 'w'.repeat(8_000);
const LARGE_BYTES = 10 * 1_024 * 1_024;
const seen = new Map<string, number>();

const listener = new Listener(
  plainHttpLane({
    onRequest(request) {
      const [, path = ''] = request.head.target.split('/');
      seen.set(path, (seen.get(path) ?? 0) + 1);
      request.onAbandoned = () => seen.set('abandoned', (seen.get('abandoned') ?? 0) + 1);
      serve(path, request);
    },
    onUnreadable(_caller, refusal) {
      seen.set(refusal.code, (seen.get(refusal.code) ?? 0) + 1);
      return answerOf(refusal, '0', false);
    },
  }),
);

function serve(path: string, request: ServerRequest): void {
  switch (path) {
    case 'hold':
      return;
    case 'paused':
      request.body.start({ onChunk: () => {}, onEnd: () => {}, onError: () => {} });
      request.body.pause();
      return;
    case 'unread':
      setImmediate(() => answer(request, 'unread'));
      return;
    case 'read': {
      let size = 0;
      request.body.start({
        onChunk: (chunk) => {
          size += chunk.length;
        },
        onEnd: () => answer(request, `read ${size}`),
        onError: () => {},
      });
      return;
    }
    case 'empty':
      request.respond({ status: 204, reason: '', headers: [] }).end([]);
      return;
    case 'wide':
      request.respond({ status: 204, reason: '', headers: ['x-wide', WIDE] }).end([]);
      return;
    case 'large':
      sendLarge(request.respond({ status: 200, reason: '', headers: [] }));
      return;
    default:
      answer(request, 'ok');
  }
}

function answer(request: ServerRequest, text: string): void {
  const head: ResponseHead = { status: 200, reason: '', headers: ['content-type', 'text/plain'] };
  const body = request.respond(head);
  body.write(Buffer.from(text));
  body.end([]);
}

function sendLarge(body: OutgoingBody): void {
  let left = LARGE_BYTES;
  const go = () => {
    while (left > 0) {
      left -= CHUNK.length;
      if (!body.write(Buffer.from(CHUNK))) return; // onDrain goes on
    }
    body.end([]);
  };
  body.onDrain = go;
  go();
}

const port = await listener.open(0, '127.0.0.1');
process.on('message', () => {
  globalThis.gc?.();
  globalThis.gc?.(); // the second waits for the sweep of array buffers that the first left to another thread
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const facts = { cpuMs: (user + system) / 1_000, rss, heapUsed, arrayBuffers };
  process.send?.({ ...facts, waitingBytes: processBudget.usedBytes, seen: Object.fromEntries(seen) });
});
process.on('disconnect', () => process.exit());
process.send?.({ port });
