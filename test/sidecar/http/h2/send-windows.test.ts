import t from 'tap';
import { MemoryBudget } from '#sidecar/http/h2/memory-budget.ts';
import {
  AMPLE_QUEUED_BYTES,
  MAX_QUEUED_BYTES_PER_CONNECTION,
  MAX_QUEUED_BYTES_PER_STREAM,
} from '#sidecar/http/h2/send-queue.ts';
import { INITIAL_WINDOW_SIZE } from '#sidecar/http/h2/settings.ts';
import { clientPreface, data, headers, ping, request, settings, settingsAck, windowUpdate } from './frames.ts';
import { greetedClient, greetedServer, ServerRun } from './session-runs.ts';

const FRAME = 16_384;
const OK = { status: 200, reason: '', headers: [] };

/** Bytes of DATA among frames, by stream. */
function sentBytes(lines: readonly string[], id: number): number {
  let sum = 0;
  for (const line of lines) {
    const [, , shown = '', bytes] = line.match(new RegExp(`^DATA ${id} (END_STREAM )?(?:"(.*)"|(\\d+) bytes)$`)) ?? [];
    sum += bytes === undefined ? shown.length : Number(bytes);
  }
  return sum;
}

t.test('§6.9: no more is sent than both windows allow', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('GET', '/1'), { end: true }), headers(3, request('GET', '/3'), { end: true }));
  const first = run.request(1).respond(OK);
  const second = run.request(3).respond(OK);
  t.ok(first.write(Buffer.alloc(40_000)));
  second.write(Buffer.alloc(40_000));
  let lines = run.sent();
  t.equal(sentBytes(lines, 1), 40_000);
  t.equal(sentBytes(lines, 3), 25_535, 'what the connection had left');
  run.receive(windowUpdate(3, 100_000));
  t.strictSame(run.sent(), [], 'the window of a stream alone does not help');
  run.receive(windowUpdate(0, 10_000));
  t.equal(sentBytes(run.sent(), 3), 10_000);
  second.end([]);
  run.receive(windowUpdate(0, 1_000_000));
  lines = run.sent();
  t.equal(sentBytes(lines, 3), 4_465);
  t.match(lines.at(-1), /^DATA 3 END_STREAM/, 'the end goes with the last of it');
  first.write(Buffer.alloc(30_000));
  t.equal(sentBytes(run.sent(), 1), 25_535, 'what the stream had left');
  first.end(['x', 'y']);
  run.receive(windowUpdate(1, 4_465));
  t.match(run.sent(), [/^DATA 1 4465 bytes/, 'HEADERS 1 END_STREAM [x: y]']);
  t.equal(run.session.streams.size, 0);
});

t.test(
  'a reader that tells of each 4 KiB, as Go does, is no flood; nor are the PINGs of one that measures',
  async (t) => {
    const run = greetedServer();
    run.receive(headers(1, request('GET', '/'), { end: true }));
    const body = run.request(1).respond(OK);
    const chunk = Buffer.alloc(65_535);
    let total = 0;
    while (total < 30_000_000 && !run.session.isFatal) {
      body.write(chunk);
      const sent = sentBytes(run.sent(), 1);
      total += sent;
      for (let left = sent; left > 0; left -= 4_096) {
        const size = Math.min(left, 4_096);
        run.receive(windowUpdate(0, size), windowUpdate(1, size));
      }
      run.receive(ping()); // gRPC: one for each that it reads
    }
    t.notOk(run.session.isFatal, `${total} bytes`);
  },
);

t.test('§6.9.2: a first window of 0 holds everything back until it opens', async (t) => {
  const run = greetedServer([INITIAL_WINDOW_SIZE, 0]);
  run.receive(headers(1, request('GET', '/'), { end: true }));
  const body = run.request(1).respond(OK);
  body.write(Buffer.from('held'));
  body.end([]);
  t.strictSame(run.sent(), ['HEADERS 1 [:status: 200]']);
  run.receive(windowUpdate(1, 1));
  t.strictSame(run.sent(), ['DATA 1 "h"']);
  run.receive(settings([INITIAL_WINDOW_SIZE, 2]));
  t.strictSame(run.sent(), ['SETTINGS ACK', 'DATA 1 "el"'], 'SETTINGS open the windows of streams that are there');
  run.receive(settings([INITIAL_WINDOW_SIZE, 100]));
  t.strictSame(run.sent(), ['SETTINGS ACK', 'DATA 1 END_STREAM "d"']);
});

t.test('an answer without a body needs no window', async (t) => {
  const run = greetedServer([INITIAL_WINDOW_SIZE, 0]);
  run.receive(headers(1, request('GET', '/'), { end: true }));
  const body = run.request(1).respond(OK);
  run.sent();
  body.end([]);
  t.strictSame(run.sent(), ['DATA 1 END_STREAM ""']);
});

t.test('§6.9.2: SETTINGS may make a window negative; it must be positive again before anything is sent', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('GET', '/'), { end: true }));
  const body = run.request(1).respond(OK);
  body.write(Buffer.alloc(60_000));
  run.sent();
  run.receive(settings([INITIAL_WINDOW_SIZE, 10_000]));
  t.equal(run.stream(1).sendWindow, 10_000 - 60_000);
  body.write(Buffer.from('held'));
  t.strictSame(run.sent(), ['SETTINGS ACK']);
  run.receive(windowUpdate(1, 50_000), windowUpdate(0, 100_000));
  t.strictSame(run.sent(), [], 'at 0 still nothing');
  run.receive(windowUpdate(1, 3));
  t.strictSame(run.sent(), ['DATA 1 "hel"']);
  run.receive(settings([INITIAL_WINDOW_SIZE, 10_001]));
  t.strictSame(run.sent(), ['SETTINGS ACK', 'DATA 1 "d"']);
  run.receive(windowUpdate(1, 0x7fff_ffff - 10_000), settings([INITIAL_WINDOW_SIZE, 0x7fff_ffff]));
  t.match(run.sent().at(-1), /^GOAWAY 1 FLOW_CONTROL_ERROR/, '§6.9.2: a window that SETTINGS make too large');
});

t.test('a stream that opens while others wait has its turn', async (t) => {
  const run = greetedServer([INITIAL_WINDOW_SIZE, 1_000_000]);
  const ids = [1, 3, 5, 7];
  for (const id of ids) run.receive(headers(id, request('GET', '/'), { end: true }));
  for (const id of ids) run.request(id).respond(OK).write(Buffer.alloc(200_000));
  run.sent();
  const shares = new Map(ids.map((id) => [id, 0]));
  for (let round = 0; round < 8; round++) {
    run.receive(windowUpdate(0, FRAME * 2));
    const lines = run.sent();
    for (const id of ids) shares.set(id, (shares.get(id) ?? 0) + sentBytes(lines, id));
  }
  const [first = 0, ...others] = shares.values();
  t.ok(first > 0);
  for (const share of others) t.ok(Math.abs(share - first) <= 2 * FRAME, `${share} beside ${first}`);
});

t.test('streams whose own window is closed cost the others nothing', async (t) => {
  const run = greetedServer([INITIAL_WINDOW_SIZE, 0]);
  const count = 4_000;
  for (let index = 0; index < count; index++) {
    run.receive(headers(index * 2 + 1, request('GET', '/'), { end: true }));
    run
      .request(index * 2 + 1)
      .respond(OK)
      .write(Buffer.from('held back by its own window'));
  }
  run.sent();
  const begun = process.cpuUsage();
  for (let index = 0; index < 4_000; index++) run.receive(windowUpdate(0, 1));
  const { user, system } = process.cpuUsage(begun);
  t.ok(user + system < 300_000, `${user + system} us for 4,000 window updates`);
  t.notOk(run.session.isFatal);
});

t.test('the sender is told to wait when little is queued, to go on when that has left', async (t) => {
  const run = greetedServer([INITIAL_WINDOW_SIZE, 0]);
  run.receive(headers(1, request('GET', '/'), { end: true }));
  const body = run.request(1).respond(OK);
  let drained = 0;
  body.onDrain = () => drained++;
  t.ok(body.write(Buffer.alloc(10_000)), 'a little may be queued');
  t.notOk(body.write(Buffer.alloc(MAX_QUEUED_BYTES_PER_STREAM)));
  t.equal(run.budget.usedBytes, 10_000 + MAX_QUEUED_BYTES_PER_STREAM, 'what is queued counts as memory');
  run.receive(windowUpdate(1, 70_000), windowUpdate(0, 70_000));
  t.equal(drained, 0);
  run.receive(windowUpdate(1, 70_000));
  t.equal(drained, 1);
  t.equal(run.budget.usedBytes, 0);
  t.ok(body.write(Buffer.from('x')));
});

t.test('while the transport is congested nothing is framed, and heads go all the same', async (t) => {
  const run = greetedServer([INITIAL_WINDOW_SIZE, 1_000_000]);
  run.receive(windowUpdate(0, 1_000_000));
  run.session.setCongested(true);
  run.receive(headers(1, request('GET', '/'), { end: true }));
  const body = run.request(1).respond(OK);
  let drained = 0;
  body.onDrain = () => drained++;
  body.write(Buffer.alloc(100_000));
  t.strictSame(run.sent(), ['HEADERS 1 [:status: 200]']);
  run.session.setCongested(false);
  t.equal(sentBytes(run.sent(), 1), 100_000);
  t.equal(drained, 1);
});

t.test('many answers that nobody reads hold a bounded part of memory', async (t) => {
  const budget = new MemoryBudget(MAX_QUEUED_BYTES_PER_CONNECTION);
  const run = new ServerRun(budget).receive(clientPreface([INITIAL_WINDOW_SIZE, 0]), settingsAck);
  const chunk = Buffer.alloc(65_536);
  let welcome = 0;
  for (let index = 0; index < 2_000 && budget.usedBytes < AMPLE_QUEUED_BYTES; index++) {
    run.receive(headers(index * 2 + 1, request('GET', '/'), { end: true }));
    const body = run.request(index * 2 + 1).respond(OK);
    while (body.write(chunk.subarray(0, 30_000))) welcome++;
  }
  t.ok(welcome > 0);
  const next = run.requests.size * 2 + 1;
  run.receive(headers(next, request('GET', '/'), { end: true }));
  t.notOk(run.request(next).respond(OK).write(Buffer.from('x')), 'beyond ample, each waits at its first piece');
  for (let index = run.requests.size; index < 2_000; index++) {
    run.receive(headers(index * 2 + 1, request('GET', '/'), { end: true }));
    run.requests
      .get(index * 2 + 1)
      ?.respond(OK)
      .write(chunk);
  }
  t.ok(budget.usedBytes <= MAX_QUEUED_BYTES_PER_CONNECTION + 65_536, `${budget.usedBytes} bytes`);
  t.match(run.sent().join(), /REFUSED_STREAM/);
  const last = run.session.streams.all().at(-1);
  last?.write(chunk);
  t.match(run.sent().at(-1), /RST_STREAM \d+ ENHANCE_YOUR_CALM/, 'one that goes on all the same is ended');
  t.match(run.told().at(-1), /abandoned: the other side reads too slowly/);
  run.session.abandon('over');
  t.equal(budget.usedBytes, 0);
});

t.test('a client keeps to the windows of its server, and opens its own', async (t) => {
  const run = greetedClient([INITIAL_WINDOW_SIZE, 10]);
  const asked = run.ask('a', { method: 'POST', body: Buffer.from('twelve bytes') });
  t.match(run.sent(), [/^HEADERS 1 \[.*content-length: 12/, 'DATA 1 "twelve byt"']);
  run.receive(windowUpdate(1, 100));
  t.strictSame(run.sent(), ['DATA 1 END_STREAM "es"']);
  run.receive(headers(1, [':status', '200']));
  for (let count = 0; count < 100; count++) run.receive(data(1, Buffer.alloc(FRAME)));
  t.equal(asked.response, undefined, 'nobody reads yet');
  t.match(run.sent(), ['RST_STREAM 1 FLOW_CONTROL_ERROR'], 'more than its window is a fault of the server');
});
