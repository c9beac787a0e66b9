import http from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { listen, portOf } from '../../../support/free-ports.ts';
import { commonRequestStream, mutatedBytes } from './generate-messages.ts';
import { type ReadRequest, readRequests } from './read-request.ts';
import { REQUEST_ATTACKS } from './request-attacks.ts';
import { findNginx, startNginx } from './start-nginx.ts';

/**
 * The same bytes to our parser, to node:http and to nginx: what we accept, each of them reads the same way or refuses.
 * Inputs are made from a fixed seed, so that a difference comes again.
 */
const INPUTS = 3_000;
const SEED = 20_240_611;
const AT_ONCE = 32;
/** A reader that waits for more than there is has read something else; only then is this waited for. */
const PATIENCE_MS = 3_000;

/** Behind what we read to its end; who reads the same reads this too, as itself. */
const PROBE_TARGET = '/probe';
const PROBE = `GET ${PROBE_TARGET} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n`;

/** One request as another server read it. */
interface SeenRequest {
  readonly line: string;
  body: string;
  isComplete: boolean;
}

interface Input {
  readonly bytes: Buffer;
  /** What we read to its end, in order. */
  readonly requests: readonly ReadRequest[];
  /** Something has begun behind it. */
  readonly isWithin: boolean;
}

/** What the other servers may read in another way, each with its reason. */
const ALLOWED: readonly { readonly reason: string; readonly holds: (request: ReadRequest) => boolean }[] = [
  {
    reason: 'nginx takes the path out of an absolute target; our next stage does the same, or refuses',
    holds: ({ target }) => !target.startsWith('/'),
  },
];

function inputs(): Input[] {
  const attacks = REQUEST_ATTACKS.filter(({ bytes }) => bytes.length < 2_000).map(({ bytes }) =>
    Buffer.from(bytes, 'latin1'),
  );
  const made = fc.sample(mutatedBytes(commonRequestStream), { seed: SEED, numRuns: INPUTS });
  const accepted: Input[] = [];
  for (const bytes of [...attacks, ...made]) {
    const { requests, error, isWithin } = readRequests([bytes]);
    if (error !== undefined) continue; // nothing of it goes on
    // the server ends the connection behind a last request, and reads nothing more
    const last = requests.findIndex(({ isLast }) => isLast);
    const read = last === -1 ? requests : requests.slice(0, last + 1);
    if (read.some((request) => ALLOWED.some(({ holds }) => holds(request)))) continue;
    const complete = read.filter(({ isComplete }) => isComplete);
    accepted.push({ bytes, requests: complete, isWithin: last === -1 ? isWithin : complete.length < read.length });
  }
  return accepted;
}

/** An app that notes what it is asked, by the port of the sender. */
interface Recorder {
  readonly port: number;
  /** A new connection comes from this port: the system gives a port again, and what was seen from it before is another's. */
  begin(port: number): void;
  seenFrom(port: number): readonly SeenRequest[];
}

async function startRecorder(t: Test): Promise<Recorder> {
  const bySender = new Map<number, SeenRequest[]>();
  const server = http.createServer({ insecureHTTPParser: false, keepAliveTimeout: 60_000 }, (request, response) => {
    const forwarded = request.headers['x-sender-port'];
    const sender = forwarded === undefined ? (request.socket.remotePort ?? 0) : Number(forwarded);
    const seen: SeenRequest = { line: `${request.method} ${request.url}`, body: '', isComplete: false };
    const all = bySender.get(sender) ?? [];
    all.push(seen);
    bySender.set(sender, all);
    request.setEncoding('latin1');
    request.on('data', (text: string) => {
      seen.body += text;
    });
    request.on('error', () => {});
    request.on('end', () => {
      seen.isComplete = true;
      response.writeHead(200, { 'content-length': 2 }).end('ok');
    });
  });
  server.on('checkContinue', (request, response) => server.emit('request', request, response));
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  server.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'));
  await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    port: portOf(server),
    begin: (port) => bySender.delete(port),
    seenFrom: (port) => bySender.get(port) ?? [],
  };
}

/** Sends the bytes; resolves when the other side has closed, with what it said, or when patience is over. */
function converse(
  port: number,
  bytes: Buffer,
  ends: boolean,
  begin: (sender: number) => void,
): Promise<{ readonly sender: number; readonly text: string; readonly isOver: boolean }> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    let sender = 0;
    let isOver = false;
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on('connect', () => {
      sender = socket.localPort ?? 0;
      begin(sender);
      socket.write(bytes);
      if (ends) socket.end();
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('end', () => {
      isOver = true;
      socket.destroy();
    });
    socket.on('error', () => {
      isOver = true;
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ sender, text, isOver });
    });
  });
}

/** The difference between the two readings, if there is one that matters. */
function differenceOf(input: Input, seen: readonly SeenRequest[], text: string, isOver: boolean): string | undefined {
  const hasProbe = !input.isWithin && input.requests.at(-1)?.isLast !== true;
  const ours = input.requests.map(({ method, target, body }) => ({ line: `${method} ${target}`, body }));
  if (hasProbe) ours.push({ line: `GET ${PROBE_TARGET}`, body: '' });
  const complete = seen.filter(({ isComplete }) => isComplete);
  let at = 0;
  for (const { line, body } of complete) {
    // those in between were refused: that is looked at below
    while (at < ours.length && (ours[at]?.line !== line || ours[at]?.body !== body)) at++;
    if (at++ === ours.length) return `we did not read ${line} ${JSON.stringify(body)}`;
  }
  if (complete.length === ours.length || input.isWithin) return undefined;
  if (!/HTTP\/1\.1 [45]\d\d /.test(text)) return `${complete.length} of ${ours.length} read and nothing refused`;
  return isOver ? undefined : 'waits for more than there is';
}

async function compare(t: Test, port: number, recorder: Recorder): Promise<void> {
  const all = inputs();
  let agreed = 0;
  let probed = 0;
  for (let from = 0; from < all.length; from += AT_ONCE) {
    await Promise.all(
      all.slice(from, from + AT_ONCE).map(async (input) => {
        const hasProbe = !input.isWithin && input.requests.at(-1)?.isLast !== true;
        const bytes = hasProbe ? Buffer.concat([input.bytes, Buffer.from(PROBE)]) : input.bytes;
        const { sender, text, isOver } = await converse(port, bytes, !hasProbe, recorder.begin);
        const seen = recorder.seenFrom(sender);
        const difference = differenceOf(input, seen, text, isOver);
        if (difference !== undefined) t.fail(`${JSON.stringify(input.bytes.toString('latin1'))}: ${difference}`);
        else if (seen.filter(({ isComplete }) => isComplete).length > 0) agreed++;
        if (seen.some(({ line }) => line === `GET ${PROBE_TARGET}`)) probed++;
      }),
    );
  }
  t.comment(`${all.length} inputs that we accept; ${agreed} read alike, ${probed} of them to the probe behind`);
  t.ok(agreed > INPUTS / 8, `${agreed} read alike`);
  t.ok(probed > INPUTS / 10, `${probed} read to the probe`);
}

t.test('node:http reads what we accept as we do, or refuses it', async (t) => {
  const recorder = await startRecorder(t);
  await compare(t, recorder.port, recorder);
});

const nginx = findNginx();
t.test(
  'nginx reads what we accept as we do, or refuses it',
  { skip: nginx === undefined ? 'there is no nginx on this machine' : false },
  async (t) => {
    const recorder = await startRecorder(t);
    await compare(t, await startNginx(t, nginx ?? '', recorder.port), recorder);
  },
);
