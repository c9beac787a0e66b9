import t from 'tap';
import { STREAM_WINDOW_BYTES } from '#sidecar/http/h2/http2-session.ts';
import { MemoryBudget } from '#sidecar/http/h2/memory-budget.ts';
import { CONNECTION_WINDOW_BYTES, MAX_WAITING_BYTES_PER_CONNECTION } from '#sidecar/http/h2/receive-credit.ts';
import {
  AMPLE_QUEUED_BYTES,
  MAX_QUEUED_BYTES_PER_CONNECTION,
  MAX_QUEUED_BYTES_PER_STREAM,
} from '#sidecar/http/h2/send-queue.ts';
import { INITIAL_WINDOW_SIZE } from '#sidecar/http/h2/settings.ts';
import { heldBytes } from './collect-garbage.ts';
import {
  clientPreface,
  data,
  headers,
  ping,
  request,
  rstStream,
  settings,
  settingsAck,
  windowUpdate,
} from './frames.ts';
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

/** What a sender that keeps to its windows sees of ours. */
class Sender {
  connection = 65_535;
  readonly streams = new Map<number, number>();
  readonly #run: ServerRun;

  constructor(run: ServerRun) {
    this.#run = run;
    this.look();
  }

  /** Takes the window updates that were sent. */
  look(): void {
    for (const line of this.#run.sent()) {
      const [, id, bytes] = /^WINDOW_UPDATE (\d+) (\d+)$/.exec(line) ?? [];
      if (id === undefined) continue;
      if (id === '0') this.connection += Number(bytes);
      else this.streams.set(Number(id), (this.streams.get(Number(id)) ?? 0) + Number(bytes));
    }
    if (this.connection > CONNECTION_WINDOW_BYTES) throw new Error(`a window of ${this.connection} bytes`);
    for (const [id, window] of this.streams)
      if (window > STREAM_WINDOW_BYTES) throw new Error(`a window of ${window} bytes for stream ${id}`);
  }

  /** As much of `bytes` as the windows allow, in frames with this padding; returns how much that was. */
  send(id: number, bytes: number, padding?: number): number {
    let sent = 0;
    const overhead = padding === undefined ? 0 : padding + 1;
    for (;;) {
      this.look();
      const window = Math.min(this.connection, this.streams.get(id) ?? 0);
      const size = Math.min(bytes - sent, window - overhead, FRAME - overhead);
      if (size <= 0) return sent;
      this.#run.receive(data(id, Buffer.alloc(size), padding === undefined ? {} : { padding }));
      sent += size;
      this.connection -= size + overhead;
      this.streams.set(id, (this.streams.get(id) ?? 0) - size - overhead);
    }
  }
}

function receiving(budget?: MemoryBudget): { run: ServerRun; sender: Sender; open: (id: number) => void } {
  const run = new ServerRun(budget).receive(clientPreface(), settingsAck);
  const sender = new Sender(run);
  const open = (id: number) => {
    run.receive(headers(id, request('POST', '/')));
    sender.streams.set(id, STREAM_WINDOW_BYTES);
  };
  return { run, sender, open };
}

// ---- what we receive

t.test('§6.9: a body of any length arrives while it is read', async (t) => {
  const { run, sender, open } = receiving();
  t.equal(sender.connection, CONNECTION_WINDOW_BYTES);
  open(1);
  t.equal(sender.send(1, 20_000_000), 20_000_000);
  run.receive(data(1, '', { end: true }));
  t.match(run.told().join(), /1 end 20000000 bytes/);
  t.equal(run.budget.usedBytes, 0);
});

t.test('§6.9.1: padding is credited too, or the window would end one day', async (t) => {
  const { run, sender, open } = receiving();
  open(1);
  t.equal(sender.send(1, 20_000_000, 255), 20_000_000);
  t.equal(sender.send(1, 100_000, 200), 100_000);
  t.equal(run.bodies.get(1)?.bytes, 20_100_000);
});

t.test('§5.2: a reader that waits stops its own stream, and no other', async (t) => {
  const { run, sender, open } = receiving();
  run.serve = (request, id) => {
    run.read(request, id);
    if (id === 1) request.body.pause();
  };
  open(1);
  open(3);
  t.equal(sender.send(1, 10_000_000), STREAM_WINDOW_BYTES);
  t.equal(run.budget.usedBytes, STREAM_WINDOW_BYTES);
  t.equal(sender.send(3, 10_000_000), 10_000_000, 'the other one goes on');
  run.request(1).body.resume();
  t.equal(run.budget.usedBytes, 0);
  t.equal(sender.send(1, 10_000_000), 10_000_000, 'and so does this one, afterwards');
  t.equal(run.bodies.get(1)?.bytes, 10_000_000 + STREAM_WINDOW_BYTES);
});

t.test('a credit is not forgotten whenever the reader pauses and goes on', async (t) => {
  const { run, sender, open } = receiving();
  open(1);
  let total = 0;
  for (const piece of [1, 100, 5_000, 65_535, 131_071, 131_072, 200_000, 262_144, 3, 16_384].flatMap((size) => [
    size,
    size,
  ])) {
    run.request(1).body.pause();
    const held = sender.send(1, piece);
    run.request(1).body.resume();
    total += held + sender.send(1, piece - held);
  }
  t.equal(run.bodies.get(1)?.bytes, total);
  t.equal(sender.send(1, 9_000_000), 9_000_000);
  t.ok((sender.streams.get(1) ?? 0) >= STREAM_WINDOW_BYTES / 2, 'at least half of the window is open');
  t.ok(sender.connection >= CONNECTION_WINDOW_BYTES / 2);
});

t.test('bodies that end in whatever way give back what they took of the window of the connection', async (t) => {
  const { run, sender, open } = receiving();
  run.serve = (request, id) => {
    run.read(request, id);
    request.body.pause();
  };
  for (let index = 0; index < 80; index++) {
    const id = index * 2 + 1;
    open(id);
    t.equal(sender.send(id, 200_000), 200_000, `body ${index}`);
    if (index % 4 === 0) run.receive(rstStream(id, 8));
    else if (index % 4 === 1) run.request(id).destroy();
    else if (index % 4 === 2) run.request(id).respond(OK).end([]);
    else run.request(id).body.cancel();
  }
  t.equal(run.budget.usedBytes, 0);
  sender.look();
  t.ok(sender.connection >= CONNECTION_WINDOW_BYTES / 2);
});

t.test('what comes on a stream that was reset gives back what it took of the window of the connection', async (t) => {
  const { run, sender, open } = receiving();
  for (let index = 0; index < 40; index++) {
    const id = index * 2 + 1;
    open(id);
    run.request(id).destroy();
    t.equal(sender.send(id, 200_000, index % 2 === 0 ? undefined : 100), 200_000, `body ${index}`);
  }
  t.equal(run.budget.usedBytes, 0);
});

t.test('a part of a large read does not keep all of it', async (t) => {
  const run = greetedServer();
  run.serve = (request) => {
    request.body.start({ onChunk: () => {}, onEnd: () => {}, onError: () => {} });
    if (request.head.target === '/paused') request.body.pause();
  };
  run.receive(headers(1, request('POST', '/paused')), headers(3, request('POST', '/')));
  const before = await heldBytes();
  const frames = [
    data(1, Buffer.alloc(1_100)),
    data(3, Buffer.alloc(16_000)),
    data(3, Buffer.alloc(16_000)),
    data(3, Buffer.alloc(16_000)),
  ];
  for (let count = 0; count < 200; count++) run.receive(Buffer.concat(frames));
  const held = (await heldBytes()) - before;
  t.equal(run.budget.usedBytes, 220_000);
  t.ok(held < 2_000_000, `${held} bytes held for 220,000 that wait`);
});

t.test('many slow readers hold no more than the connection may, and the window opens as they read', async (t) => {
  const { run, sender, open } = receiving();
  run.serve = (request, id) => {
    run.read(request, id);
    request.body.pause();
  };
  let sent = 0;
  for (let id = 1; id < 400; id += 2) open(id);
  for (let id = 1; id < 400; id += 2) {
    const taken = sender.send(id, STREAM_WINDOW_BYTES);
    sent += taken;
    if (taken < STREAM_WINDOW_BYTES) break;
  }
  t.ok(sent >= MAX_WAITING_BYTES_PER_CONNECTION, `${sent} bytes wait`);
  t.ok(sent <= MAX_WAITING_BYTES_PER_CONNECTION + CONNECTION_WINDOW_BYTES, `${sent} bytes wait, and no more than that`);
  t.equal(run.budget.usedBytes, sent);
  for (const request of run.requests.values()) request.body.resume();
  t.equal(run.budget.usedBytes, 0);
  t.equal(sender.send(1, 20_000_000), 20_000_000);
});

t.test('where the memory of the process is short, the window opens as bodies are read', async (t) => {
  const budget = new MemoryBudget(500_000);
  const { run, sender, open } = receiving(budget);
  run.serve = (request, id) => {
    run.read(request, id);
    if (id !== 7) request.body.pause();
  };
  for (const id of [1, 3, 5, 7]) open(id);
  const sent = [1, 3, 5].map((id) => sender.send(id, STREAM_WINDOW_BYTES)).reduce((sum, bytes) => sum + bytes);
  t.equal(sent, 3 * STREAM_WINDOW_BYTES);
  t.equal(sender.send(7, 5_000_000), 5_000_000, 'a reader that keeps up is not held up');
  for (const id of [1, 3, 5]) run.request(id).body.resume();
  t.equal(budget.usedBytes, 0);
  t.equal(sender.send(1, 5_000_000), 5_000_000);
});

t.test('dribble that waits costs about its bytes', async (t) => {
  const { run, open, sender } = receiving();
  run.serve = (request, id) => {
    run.read(request, id);
    request.body.pause();
  };
  open(1);
  const before = await heldBytes();
  const byte = data(1, 'x');
  for (let count = 0; count < 100_000; count++) run.receive(byte);
  t.equal(run.budget.usedBytes, 100_000);
  const held = (await heldBytes()) - before;
  t.ok(held < 400_000, `${held} bytes held for 100,000 that wait`);
  sender.look();
  run.request(1).body.resume();
  t.equal(run.bodies.get(1)?.bytes, 100_000);
  t.ok(run.bodies.get(1)?.text === 'x'.repeat(1_000));
});

t.test('pieces of all sizes that waited come in their order', async (t) => {
  const run = greetedServer();
  let wanted = '';
  let got = '';
  run.serve = (request) => {
    request.body.start({
      onChunk: (chunk) => {
        got += chunk.toString('latin1');
      },
      onEnd: () => {
        got += '.';
      },
      onError: () => t.fail('it broke off'),
    });
    request.body.pause();
  };
  run.receive(headers(1, request('POST', '/')));
  const sizes = [
    1, 2, 255, 256, 257, 1_023, 1_024, 1_025, 0, 3, 5_000, 1, 1_000, 1_000, 1_000, 985, 985, 985, 16_384, 7,
  ];
  for (let round = 0; round < 4; round++) {
    for (const [index, size] of sizes.entries()) {
      const text = String.fromCharCode(97 + index).repeat(size);
      wanted += text;
      run.receive(data(1, text));
    }
    if (round === 1) run.request(1).body.resume();
    if (round === 2) run.request(1).body.pause();
  }
  run.receive(data(1, 'end', { end: true }));
  t.ok(got.length < wanted.length);
  run.request(1).body.resume();
  t.ok(got === `${wanted}end.`);
});

t.test('a reader may pause, go on and stop while it is given what waited', async (t) => {
  const run = greetedServer();
  const log: string[] = [];
  run.serve = () => {};
  run.receive(headers(1, request('POST', '/')));
  for (const letter of 'abcdef') run.receive(data(1, letter.repeat(2_000)));
  const { body } = run.request(1);
  body.start({
    onChunk: (chunk) => {
      log.push(chunk.toString('latin1', 0, 1));
      body.pause();
      if (log.length < 3) body.resume();
      if (log.length === 4) body.cancel();
    },
    onEnd: () => log.push('end'),
    onError: () => log.push('error'),
  });
  t.equal(log.join(''), 'abc');
  body.resume();
  t.equal(log.join(''), 'abcd');
  run.receive(data(1, 'g', { end: true }));
  t.equal(log.join(''), 'abcd');
  t.equal(run.budget.usedBytes, 0);
});

// ---- what we send

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
  const last = [...run.session.streams.values()].at(-1);
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
