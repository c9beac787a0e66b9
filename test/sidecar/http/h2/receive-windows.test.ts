import t from 'tap';
import { STREAM_WINDOW_BYTES } from '#sidecar/http/h2/http2-session.ts';
import { MemoryBudget } from '#sidecar/http/h2/memory-budget.ts';
import { CONNECTION_WINDOW_BYTES, MAX_WAITING_BYTES_PER_CONNECTION } from '#sidecar/http/h2/receive-credit.ts';
import { heldBytes } from './collect-garbage.ts';
import { clientPreface, data, headers, request, rstStream, settingsAck } from './frames.ts';
import { greetedServer, ServerRun } from './session-runs.ts';

const FRAME = 16_384;
const OK = { status: 200, reason: '', headers: [] };

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
  const budget = new MemoryBudget(2_000_000);
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
