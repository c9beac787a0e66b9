import t from 'tap';
import { ENHANCE_YOUR_CALM, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM } from '#sidecar/http/h2/frame.ts';
import { MemoryBudget } from '#sidecar/http/h2/memory-budget.ts';
import {
  ENABLE_CONNECT_PROTOCOL,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
} from '#sidecar/http/h2/settings.ts';
import { data, goaway, headers, rstStream, settings, settingsAck, windowUpdate } from './frames.ts';
import { ClientRun, FedBody, greetedClient, settled } from './session-runs.ts';

const ok = (...more: string[]) => headers(1, [':status', '200', ...more]);
const whole = (...fields: string[]) => headers(1, fields, { end: true });

t.test('§8.1: an answer that is whole while its request is not ends that request', async (t) => {
  const run = greetedClient();
  const body = new FedBody();
  run.ask('a', { method: 'POST', body });
  body.consumer?.onChunk(Buffer.from('half'));
  run.sent();
  run.receive(whole(':status', '413'), rstStream(1, NO_ERROR));
  await settled();
  t.strictSame(run.told(), ['a answered 413', 'a end ""']);
  t.strictSame(run.sent(), ['RST_STREAM 1 CANCEL']);
  body.consumer?.onChunk(Buffer.from('more'));
  body.consumer?.onEnd([]);
  t.strictSame(run.sent(), [], 'the rest goes nowhere');
  t.equal(run.session.streams.size, 0);
});

t.test('§8.1: an answer before RST_STREAM with NO_ERROR stays whole, also where its reader is slow', async (t) => {
  const run = greetedClient();
  const body = new FedBody();
  const asked = run.ask('a', { method: 'POST', body, isHeld: true });
  body.consumer?.onChunk(Buffer.from('half'));
  run.receive(ok(), data(1, 'too large', { end: true }), rstStream(1, NO_ERROR));
  await settled();
  run.session.abandon('and then the connection was lost');
  asked.incoming?.start(asked.log);
  t.strictSame(run.told(), ['a answered 200', 'a end "too large"']);
  t.equal(run.budget.usedBytes, 0);
});

t.test('a body that streams is sent with backpressure, and its trailers with it', async (t) => {
  const run = greetedClient([INITIAL_WINDOW_SIZE, 100]);
  const body = new FedBody();
  const asked = run.ask('a', { method: 'POST', body, headers: ['host', 'a', 'te', 'trailers'] });
  t.strictSame(run.sent(), ['HEADERS 1 [:method: POST, :scheme: http, :authority: a, :path: /, te: trailers]']);
  body.consumer?.onChunk(Buffer.alloc(70_000));
  t.ok(body.isPaused);
  t.ok(asked.isBlocked);
  run.receive(windowUpdate(1, 69_900), windowUpdate(0, 100_000));
  t.notOk(body.isPaused);
  t.notOk(asked.isBlocked);
  body.consumer?.onEnd(['x-sum', '1', 'x-request-id', 'forged']);
  t.match(run.sent(), [/^DATA/, /^DATA/, /^DATA/, /^DATA/, /^DATA/, /^DATA/, 'HEADERS 1 END_STREAM [x-sum: 1]']);
  t.equal(asked.sentBytes, 70_000);
  run.receive(whole(':status', '200'));
  await settled();
  t.strictSame(run.told(), ['a sent', 'a answered 200', 'a end ""']);
});

t.test('a request whose body breaks off is taken back, and its answer is not waited for', async (t) => {
  const run = greetedClient();
  const body = new FedBody();
  run.ask('a', { method: 'POST', body });
  body.consumer?.onChunk(Buffer.from('half'));
  run.sent();
  body.consumer?.onError(new Error('the caller is gone'));
  await settled();
  t.strictSame(run.sent(), ['RST_STREAM 1 CANCEL']);
  t.strictSame(run.told(), ['a failed: the caller is gone']);
});

t.test('and where the answer has begun, its reader is told', async (t) => {
  const run = greetedClient();
  const body = new FedBody();
  run.ask('a', { method: 'POST', body });
  run.receive(ok(), data(1, 'begun'));
  await settled();
  body.consumer?.onError(new Error('the caller is gone'));
  t.match(run.told().at(-1), /^a broke off after "begun"/);
  t.match(run.sent().at(-1), 'RST_STREAM 1 CANCEL');
});

t.test('RFC 9110 §10.1.1: a body that is held back goes when it is asked for', async (t) => {
  const run = greetedClient();
  const body = new FedBody();
  run.ask('a', { method: 'POST', body, expectsContinue: true });
  t.match(run.sent(), [/expect: 100-continue/]);
  t.equal(body.consumer, undefined);
  run.receive(headers(1, [':status', '100']));
  t.not(body.consumer, undefined);
  const refused = new FedBody();
  run.ask('b', { method: 'POST', body: refused, expectsContinue: true });
  run.receive(headers(3, [':status', '417'], { end: true }));
  await settled();
  t.equal(refused.consumer, undefined, 'a final answer instead: it is never sent');
  t.match(run.sent().at(-1), 'RST_STREAM 3 CANCEL');
});

t.test('cancelling gives the stream back, before and after the answer has begun', async (t) => {
  const run = greetedClient();
  const first = run.ask('a');
  first.cancel('not wanted');
  const second = run.ask('b');
  run.receive(headers(3, [':status', '200']), data(3, 'x'.repeat(5_000)));
  await settled();
  second.incoming?.cancel();
  const third = run.ask('c', { isHeld: true });
  run.receive(headers(5, [':status', '200']), data(5, 'y'.repeat(5_000), { end: true }));
  t.equal(run.budget.usedBytes, 5_000);
  third.cancel('not wanted either');
  await settled();
  t.equal(run.budget.usedBytes, 0, 'nothing of an answer that came whole is kept');
  t.strictSame(run.told(), ['a failed: not wanted', 'b answered 200', 'c answered 200']);
  t.strictSame(
    run.sent().filter((line) => line.startsWith('RST')),
    ['RST_STREAM 1 CANCEL', 'RST_STREAM 3 CANCEL'],
  );
  run.receive(headers(1, [':status', '200']), data(1, 'late'), data(3, 'late', { end: true }));
  t.strictSame([run.told(), run.sent(), run.session.streams.size], [[], [], 0], 'what was under way is passed over');
});

t.test('§8.7: a request that was refused may be sent again while its body is whole', async (t) => {
  for (const [title, bytes] of [
    ['REFUSED_STREAM', rstStream(1, REFUSED_STREAM)],
    ['a GOAWAY that did not see it', goaway(0, NO_ERROR)],
    ['a GOAWAY for another reason that did not see it', goaway(0, ENHANCE_YOUR_CALM, 'too_many')],
  ] as const) {
    const run = greetedClient();
    run.ask('get');
    run.receive(bytes);
    await settled();
    t.equal(run.told()[0], 'get again', title);
    t.equal(run.again.length, 1);

    const withBuffer = greetedClient();
    withBuffer.ask('post', { method: 'POST', body: Buffer.from('all of it') });
    withBuffer.receive(bytes);
    t.equal(withBuffer.told()[0], 'post again', `${title}: a body in memory`);
    const other = greetedClient();
    withBuffer.again[0]?.begin(other.session);
    t.match(other.sent(), [/^HEADERS 1/, 'DATA 1 END_STREAM "all of it"'], 'elsewhere it is sent whole');

    const streaming = greetedClient();
    const body = new FedBody();
    streaming.ask('stream', { method: 'POST', body });
    body.consumer?.onChunk(Buffer.from('a part'));
    streaming.receive(bytes);
    await settled();
    t.match(
      streaming.told().filter((line) => !line.startsWith('goaway')),
      [/^stream failed: /],
      `${title}: a body of which a part is gone`,
    );
  }
});

t.test('a request that is refused again and again fails in the end, unsent', async (t) => {
  const run = greetedClient();
  run.ask('a');
  for (let id = 1; id <= 5; id += 2) {
    run.receive(rstStream(id, REFUSED_STREAM));
    run.again.shift()?.begin(run.session);
  }
  await settled();
  t.match(run.told(), ['a again', 'a again', /^a failed unsent: .*REFUSED_STREAM/]);
});

t.test('§6.8: after a GOAWAY requests up to its stream go on, and no other begins', async (t) => {
  const run = greetedClient();
  run.ask('a');
  run.ask('b');
  t.equal(run.session.room, Number.POSITIVE_INFINITY);
  run.receive(goaway(0x7fff_ffff, NO_ERROR));
  t.equal(run.session.room, 0, 'the first step: nothing new');
  t.equal(run.session.streams.size, 2);
  run.receive(goaway(1, NO_ERROR));
  t.strictSame(run.told(), ['goaway 2147483647 0', 'b again', 'goaway 1 0']);
  run.receive(headers(1, [':status', '200'], { end: true }));
  await settled();
  t.strictSame(run.told(), ['a answered 200', 'a end ""']);
});

t.test('a stream that is reset, and a connection that is lost, are told apart', async (t) => {
  const run = greetedClient();
  const reset = run.ask('reset');
  run.receive(rstStream(1, INTERNAL_ERROR));
  const lost = run.ask('lost');
  run.session.abandon('the connection ended');
  await settled();
  t.match(
    reset.failure,
    { kind: 'closed', isUnsent: false, wasKept: false },
    'the app gave up on it: sent again it might be done twice',
  );
  t.match(lost.failure, { kind: 'closed', isUnsent: false, wasKept: true });
});

t.test('§5.1.2: the room that a server gives is kept to, also when it changes', async (t) => {
  const run = greetedClient([MAX_CONCURRENT_STREAMS, 2]);
  t.equal(run.session.room, 2);
  run.ask('a');
  run.ask('b');
  t.equal(run.session.room, 0);
  run.receive(settings([MAX_CONCURRENT_STREAMS, 1]));
  t.ok(run.session.room < 0);
  run.receive(headers(1, [':status', '200'], { end: true }));
  t.equal(run.session.room, 0);
  run.receive(settings([MAX_CONCURRENT_STREAMS, 5]));
  t.equal(run.session.room, 4);
  await settled();
});

t.test('§6.5.2: the largest header list of a server is kept to, and told with its limit', async (t) => {
  const run = greetedClient([MAX_HEADER_LIST_SIZE, 1_000]);
  const asked = run.ask('a', { headers: ['host', 'a', 'x-long', 'y'.repeat(1_000)] });
  await settled();
  t.strictSame(run.sent(), []);
  t.match(asked.failure, { code: 'header_block_too_large', facts: { limit: 'maxHeaderListBytes 1000' } });
  run.ask('b', { headers: ['host', 'a'] });
  t.equal(run.sent().length, 1);
});

t.test('§4.2, §6.5.2: whatever a server takes, frames are no larger than the least', async (t) => {
  const run = greetedClient([MAX_FRAME_SIZE, 100_000], [INITIAL_WINDOW_SIZE, 1_000_000]);
  run.ask('a', { method: 'POST', body: Buffer.alloc(50_000) });
  t.match(run.sent(), [
    /^HEADERS/,
    'DATA 1 16384 bytes',
    'DATA 1 16384 bytes',
    'DATA 1 16384 bytes',
    'DATA 1 END_STREAM 848 bytes',
  ]);
});

t.test('RFC 7541 §4.2: a smaller table of a server is kept to from the next block on', async (t) => {
  const run = greetedClient();
  const fields = ['host', 'a', 'x-often', 'the same value'];
  for (let count = 0; count < 3; count++) run.ask(`${count}`, { headers: fields });
  const small = sizeOf(run);
  t.ok(small < 30, `${small} bytes where the table knows all`);
  run.receive(settings([HEADER_TABLE_SIZE, 0]));
  run.ask('3', { headers: fields });
  t.match(run.sent().at(-1), /x-often: the same value/);
  run.ask('4', { headers: fields });
  t.ok(sizeOf(run) > small, 'nothing is indexed any more');
});

/** Bytes of the block in the last frame that was sent, by what describes it. */
function sizeOf(run: ClientRun): number {
  const bytes = Buffer.concat(run.session.output.take());
  let last = bytes;
  for (let at = 0; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3)) last = bytes.subarray(at);
  run.look(bytes);
  return last.length - 9;
}

t.test('RFC 8441 §3: a WebSocket is asked for only where the server takes it', async (t) => {
  const run = greetedClient([ENABLE_CONNECT_PROTOCOL, 1]);
  run.ask('a', {
    path: '/chat',
    headers: [
      'Host',
      'a',
      'Upgrade',
      'websocket',
      'Connection',
      'Upgrade',
      'Sec-WebSocket-Key',
      'dGhlIHNhbXBsZSBub25jZQ==',
    ],
    isUpgrade: true,
    isHeld: true,
  });
  t.strictSame(run.sent(), [
    'HEADERS 1 [:method: CONNECT, :protocol: websocket, :scheme: http, :authority: a, :path: /chat, sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==]',
  ]);
  run.receive(ok());
  await settled();
  t.strictSame(
    run.told(),
    ['a answered 101 upgrade websocket sec-websocket-accept s3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
    'told as HTTP/1.1 tells it',
  );

  const refused = greetedClient([ENABLE_CONNECT_PROTOCOL, 1]);
  refused.ask('b', { isUpgrade: true });
  refused.receive(whole(':status', '403'));
  await settled();
  t.strictSame(refused.told(), ['b answered 403', 'b end ""']);

  const without = greetedClient();
  without.ask('c', { isUpgrade: true });
  await settled();
  t.strictSame(without.sent(), []);
  t.match(without.told(), [/^c failed unsent: .*RFC 8441/]);
});

t.test('§5.1.1: when the streams of a connection are used up it takes no more', async (t) => {
  const run = new ClientRun(new MemoryBudget(), { firstStreamId: 0x7fff_fffd }).receive(settings(), settingsAck);
  run.sent();
  run.told();
  run.ask('a');
  t.equal(run.session.room > 0, true);
  run.ask('b');
  t.equal(run.session.room, 0);
  t.match(run.sent(), [/^HEADERS 2147483645 /, /^HEADERS 2147483647 /]);
  run.receive(headers(0x7fff_ffff, [':status', '204'], { end: true }));
  await settled();
  t.strictSame(run.told(), ['b answered 204', 'b end ""']);
});
