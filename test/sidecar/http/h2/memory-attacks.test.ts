import t from 'tap';
import { CONTINUATION, END_HEADERS, END_STREAM, HEADERS } from '#sidecar/http/h2/frame.ts';
import {
  MAX_HEADER_LIST_BYTES,
  MAX_HELD_BYTES_PER_CONNECTION,
  MAX_STREAMS_PER_CONNECTION,
} from '#sidecar/http/h2/http2-session.ts';
import { CONNECTION_WINDOW_BYTES } from '#sidecar/http/h2/receive-credit.ts';
import { INITIAL_WINDOW_SIZE } from '#sidecar/http/h2/settings.ts';
import { block, data, frame, headers, ping, request, rstStream, windowUpdate } from './frames.ts';
import { integer, literal } from './hpack/blocks.ts';
import { RawPeer, type Usage, Victim } from './raw-peer.ts';

const MEGABYTE = 1_000_000;
/** Of CPU; generous, for slow machines. */
const MAX_CPU_MS = 4_000;

const get = (id: number, path: string) => headers(id, request('GET', path), { end: true });
const odd = (index: number) => index * 2 + 1;
const held = (before: Usage, after: Usage) =>
  after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;

/** Waits until all that the peer has said was read. */
async function isRead(peer: RawPeer): Promise<void> {
  peer.say(ping('--read--'));
  await peer.until('PING ACK', (frames) => frames.includes('PING ACK --read--'));
}

t.test('memory and time that one peer can take are bounded', async (t) => {
  const victim = await Victim.start(t);

  t.test('4,096 streams at once are served, and the next one is refused', async (t) => {
    const before = await victim.usage();
    const peer = await RawPeer.connect(victim.port);
    for (let index = 0; index < MAX_STREAMS_PER_CONNECTION; index++) peer.say(get(odd(index), '/hold'));
    const next = odd(MAX_STREAMS_PER_CONNECTION);
    peer.say(get(next, '/hold'), get(next + 2, '/hold'));
    await isRead(peer);
    t.strictSame(
      peer.frames.filter((line) => line.startsWith('RST')),
      [`RST_STREAM ${next} REFUSED_STREAM`, `RST_STREAM ${next + 2} REFUSED_STREAM`],
    );
    const after = await victim.usage();
    t.equal((after.seen['hold'] ?? 0) - (before.seen['hold'] ?? 0), MAX_STREAMS_PER_CONNECTION);
    t.ok(held(before, after) < 16 * MEGABYTE, `${held(before, after)} bytes for 4,096 streams`);
    peer.say(rstStream(1, 8), get(next + 4, '/ok'));
    await peer.until('an answer', (frames) => frames.some((line) => line.startsWith(`DATA ${next + 4} END_STREAM`)));
    peer.close();
  });

  t.test('answers that nobody reads: so many are begun, and no more', async (t) => {
    const before = await victim.usage();
    const peer = await RawPeer.connect(victim.port, [INITIAL_WINDOW_SIZE, 0]);
    await peer.flood(MAX_STREAMS_PER_CONNECTION, (index) => get(odd(index), '/large'), 16);
    await isRead(peer);
    const after = await victim.usage();
    t.ok(held(before, after) < MAX_HELD_BYTES_PER_CONNECTION + 12 * MEGABYTE, `${held(before, after)} bytes held`);
    t.ok(after.waitingBytes >= MAX_HELD_BYTES_PER_CONNECTION, `${after.waitingBytes} bytes wait`);
    t.ok(
      peer.frames.some((line) => line.includes('REFUSED_STREAM')),
      'the rest is refused',
    );
    t.ok((await victim.isWell()) < 5_000, 'others are served');
    peer.say(windowUpdate(0, 1_000_000), windowUpdate(1, 200_000));
    await peer.until('DATA', (frames) => frames.some((line) => line.startsWith('DATA 1 ')));
    peer.close();
    await t.resolves(untilNothingWaits(victim), 'and all of it is given back');
  });

  t.test('a stream that is not read does not hold up the others of its connection', async (t) => {
    const peer = await RawPeer.connect(victim.port);
    peer.say(windowUpdate(0, 10 * MEGABYTE), get(1, '/large'));
    await peer.until('the first of it', (frames) => frames.some((line) => line.startsWith('DATA 1 ')));
    for (let index = 1; index <= 200; index++) peer.say(get(odd(index), '/ok'));
    await peer.until(
      '200 answers',
      (frames) => frames.filter((line) => line.includes('END_STREAM "ok"')).length === 200,
    );
    t.notOk(peer.frames.some((line) => line.startsWith('DATA 1 END_STREAM')));
    peer.close();
  });

  t.test('uploads that nobody takes stop at the windows', async (t) => {
    const before = await victim.usage();
    const peer = await RawPeer.connect(victim.port);
    let sent = 0;
    // a peer that sends all that it may of 16 bodies to each stream
    const refill = () =>
      peer.frames
        .filter((line) => line.startsWith('WINDOW_UPDATE 0 '))
        .reduce((sum, line) => sum + Number(line.split(' ')[2]), 65_535);
    for (let index = 0; index < 400; index++) {
      const id = odd(index);
      peer.say(headers(id, request('POST', '/paused')));
      for (let count = 0; count < 16 && sent + 16_384 <= refill(); count++) {
        peer.say(data(id, Buffer.alloc(16_384)));
        sent += 16_384;
      }
      await new Promise((resolve) => setImmediate(resolve));
      if (index % 10 === 0)
        await isRead(peer).then(() => peer.frames.splice(peer.frames.lastIndexOf('PING ACK --read--'), 1));
    }
    await isRead(peer);
    const after = await victim.usage();
    t.ok(sent > 20 * MEGABYTE, `${sent} bytes were sent`);
    t.ok(
      held(before, after) < MAX_HELD_BYTES_PER_CONNECTION + CONNECTION_WINDOW_BYTES + 16 * MEGABYTE,
      `${held(before, after)} bytes held`,
    );
    t.ok((await victim.isWell()) < 5_000);
    peer.close();
    await t.resolves(untilNothingWaits(victim));
  });

  t.test('uploads that are answered unread are given back', async (t) => {
    const peer = await RawPeer.connect(victim.port);
    for (let index = 0; index < 200; index++) {
      const id = odd(index);
      peer.say(headers(id, request('POST', '/unread')), data(id, Buffer.alloc(3_000), { end: true }));
    }
    await peer.until(
      '200 answers',
      (frames) => frames.filter((line) => line.includes('END_STREAM "unread"')).length === 200,
    );
    t.equal((await victim.usage()).waitingBytes, 0);
    peer.close();
  });

  t.test('one that asks and never reads is ended', async (t) => {
    const before = await victim.usage();
    const peer = await RawPeer.connect(victim.port);
    peer.socket.pause();
    const requests = 20_000;
    await peer.flood(requests, (index) => get(odd(index), '/wide'), 20);
    const after = await victim.usage();
    t.ok(held(before, after) < 40 * MEGABYTE, `${held(before, after)} bytes held`);
    t.ok((await victim.isWell()) < 5_000);
    peer.socket.resume();
    await peer.untilClosed();
    const answers = peer.frames.filter((line) => line.startsWith('HEADERS')).length;
    t.ok(answers < requests, `${answers} answers had left when it was ended`);
    peer.close();
  });

  t.test('an HPACK bomb is a header list over the limit', async (t) => {
    const before = await victim.usage();
    const peer = await RawPeer.connect(victim.port);
    // one entry that fills the table, and a byte for each time that it is said again
    const first = Buffer.concat([block(request('GET', '/hold')), literal(0x40, 'x', 'y'.repeat(4_000))]);
    peer.say(headers(1, first, { end: true }));
    const bomb = Buffer.concat([block(request('GET', '/hold')), Buffer.alloc(16_000, integer(62, 0x80, 0x7f))]);
    const bombs = 400;
    await peer.flood(bombs, (index) => headers(odd(index + 1), bomb, { end: true }), 4);
    await isRead(peer);
    const answers = peer.frames.filter((line) => line.includes(':status: 431'));
    t.equal(answers.length, bombs);
    const after = await victim.usage();
    t.equal((after.seen['header_block_too_large'] ?? 0) - (before.seen['header_block_too_large'] ?? 0), bombs);
    t.ok(after.cpuMs - before.cpuMs < MAX_CPU_MS, `${after.cpuMs - before.cpuMs} ms for ${bombs * 64} MB of fields`);
    t.ok(held(before, after) < 8 * MEGABYTE, `${held(before, after)} bytes held`);
    peer.close();
  });

  t.test('a bomb in many frames, and tables that are filled and emptied, cost what their bytes cost', async (t) => {
    const before = await victim.usage();
    const peer = await RawPeer.connect(victim.port);
    const entries = Buffer.concat(Array.from({ length: 400 }, (_, index) => literal(0x40, `x-${index}`, '')));
    const resize = Buffer.concat([integer(0, 0x20, 0x1f), integer(4_096, 0x20, 0x1f)]);
    await peer.flood(
      400,
      (index) =>
        headers(odd(index), Buffer.concat([resize, block(request('GET', '/hold')), entries]), {
          end: true,
          piece: 16_000,
        }),
      4,
    );
    const whole = block(request('GET', '/hold'));
    const pieces = Array.from({ length: 7 }, (_, index) =>
      frame(CONTINUATION, index === 6 ? END_HEADERS : 0, odd(400), Buffer.alloc(16_000, 0x82)),
    );
    peer.say(frame(HEADERS, END_STREAM, odd(400), whole), ...pieces);
    await isRead(peer);
    const after = await victim.usage();
    t.equal(peer.frames.filter((line) => line.includes(':status: 431')).length, 401);
    t.ok(after.cpuMs - before.cpuMs < MAX_CPU_MS, `${after.cpuMs - before.cpuMs} ms`);
    t.ok(held(before, after) < 8 * MEGABYTE, `${held(before, after)} bytes held`);
    peer.close();
  });

  t.test('431 names the limit', async (t) => {
    const peer = await RawPeer.connect(victim.port);
    peer.say(headers(1, request('GET', '/', 'x', 'y'.repeat(MAX_HEADER_LIST_BYTES)), { end: true, piece: 16_000 }));
    await peer.until('an answer', (frames) => frames.some((line) => line.startsWith('DATA 1 END_STREAM')));
    t.match(peer.frames.join('\n'), /HEADERS 1 \[:status: 431, content-type: application\/problem\+json/);
    peer.say(get(3, '/ok'));
    await peer.until('an answer', (frames) => frames.some((line) => line.startsWith('DATA 3 END_STREAM "ok"')));
    t.equal(peer.gone, undefined, 'the connection goes on');
    peer.close();
  });

  t.test('connections that rest cost little', async (t) => {
    const before = await victim.usage();
    const peers = await Promise.all(Array.from({ length: 300 }, () => RawPeer.connect(victim.port)));
    for (const peer of peers) peer.say(get(1, '/ok'));
    for (const peer of peers)
      await peer.until('an answer', (frames) => frames.some((line) => line.includes('END_STREAM "ok"')));
    const after = await victim.usage();
    const each = held(before, after) / peers.length;
    t.ok(each < 40_000, `${Math.round(each)} bytes each`);
    for (const peer of peers) peer.close();
  });
});

const PATIENCE_MS = 10_000;

async function untilNothingWaits(victim: Victim): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while ((await victim.usage()).waitingBytes > 0) {
    if (performance.now() > deadline) throw new Error(`${(await victim.usage()).waitingBytes} bytes are left`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
