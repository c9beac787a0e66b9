import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import t from 'tap';
import { CANCEL } from '#sidecar/http/h2/frame.ts';
import { STREAM_WINDOW_BYTES } from '#sidecar/http/h2/http2-session.ts';
import { ENABLE_CONNECT_PROTOCOL, INITIAL_WINDOW_SIZE } from '#sidecar/http/h2/settings.ts';
import { data, headers, rstStream, windowUpdate } from './frames.ts';
import { greetedClient, greetedServer, type ServerRun, settled } from './session-runs.ts';

const CONNECT = [
  ':method',
  'CONNECT',
  ':protocol',
  'websocket',
  ':scheme',
  'http',
  ':authority',
  'a',
  ':path',
  '/chat',
];
const SWITCH = {
  status: 101,
  reason: '',
  headers: ['upgrade', 'websocket', 'connection', 'Upgrade', 'sec-websocket-accept', 'x'],
};

/** A WebSocket that was accepted, and what came over it. */
function accepted(...before: Buffer[]): {
  run: ServerRun;
  duplex: ReturnType<ReturnType<ServerRun['request']>['switchProtocols']>;
  got: string[];
} {
  const run = greetedServer();
  run.serve = () => {};
  run.receive(headers(1, CONNECT), ...before);
  const duplex = run.request(1).switchProtocols(SWITCH);
  const got: string[] = [];
  duplex.on('data', (chunk: Buffer) => got.push(chunk.toString()));
  duplex.on('end', () => got.push('end'));
  duplex.on('error', (error) => got.push(`error ${error.message}`));
  duplex.on('close', () => got.push('close'));
  return { run, duplex, got };
}

function closed(duplex: Duplex): Promise<void> {
  return new Promise((resolve) => duplex.once('close', () => resolve()));
}

t.test('RFC 8441 §5: bytes go both ways behind a 200', async (t) => {
  const { run, duplex, got } = accepted(data(1, 'early'));
  t.strictSame(
    run.sent(),
    ['HEADERS 1 [:status: 200, sec-websocket-accept: x]'],
    'without what HTTP/2 has no words for',
  );
  run.receive(data(1, 'more'));
  duplex.write('answer');
  await settled();
  t.equal(got.join(''), 'earlymore');
  t.strictSame(run.sent(), ['DATA 1 "answer"']);
  t.equal(run.budget.usedBytes, 0);
});

t.test('either half may end before the other', async (t) => {
  const caller = accepted();
  caller.run.receive(data(1, 'bye', { end: true }));
  await once(caller.duplex, 'end');
  caller.run.sent();
  caller.duplex.write('still here');
  caller.duplex.end();
  await closed(caller.duplex);
  t.strictSame(caller.run.sent(), ['DATA 1 END_STREAM "still here"']);
  t.strictSame(caller.got, ['bye', 'end', 'close']);
  t.equal(caller.run.session.streams.size, 0);

  const app = accepted();
  app.duplex.end('bye');
  await settled();
  t.match(app.run.sent().at(-1), 'DATA 1 END_STREAM "bye"');
  t.equal(app.run.session.streams.size, 1, 'no RST_STREAM: the other half goes on');
  app.run.receive(data(1, 'still here', { end: true }));
  await closed(app.duplex);
  t.strictSame(app.got, ['still here', 'end', 'close']);
  t.equal(app.run.session.streams.size, 0);
});

t.test('a reset of either side ends both halves', async (t) => {
  const caller = accepted();
  caller.run.receive(data(1, 'half'), rstStream(1, CANCEL));
  await closed(caller.duplex);
  t.match(caller.got.join(' '), /error the other side reset the stream: CANCEL close/);
  t.match(caller.run.told().join(), /1 abandoned/);

  const app = accepted();
  app.run.sent();
  app.duplex.destroy();
  await closed(app.duplex);
  t.strictSame(app.run.sent(), ['RST_STREAM 1 INTERNAL_ERROR']);
  t.equal(app.run.session.streams.size, 0);
});

t.test('a reader that rests holds up its WebSocket, and a window its writer', async (t) => {
  const { run, duplex } = accepted();
  duplex.pause();
  for (let count = 0; count < STREAM_WINDOW_BYTES / 16_384; count++) run.receive(data(1, Buffer.alloc(16_384)));
  await settled();
  t.ok(run.budget.usedBytes > 100_000, `${run.budget.usedBytes} bytes wait`);
  run.receive(data(1, 'one byte too many'));
  t.match(run.sent().at(-1), 'RST_STREAM 1 FLOW_CONTROL_ERROR');
  t.equal(run.budget.usedBytes, 0);

  const writer = accepted();
  let written = 0;
  const go = () => {
    while (written < 50 && writer.duplex.write(Buffer.alloc(16_384), () => {})) written++;
  };
  go();
  await settled();
  t.ok(written < 50, `${written} pieces`);
  t.ok(writer.run.budget.usedBytes < 300_000);
  writer.duplex.on('drain', go);
  for (let count = 0; count < 40; count++) {
    writer.run.receive(windowUpdate(1, 32_768), windowUpdate(0, 32_768));
    writer.run.sent(); // as a transport takes it, and says that there is room
    writer.run.session.setCongested(false);
    await settled();
  }
  t.equal(written, 50);
});

t.test('we ask for one and use it', async (t) => {
  const run = greetedClient([ENABLE_CONNECT_PROTOCOL, 1], [INITIAL_WINDOW_SIZE, 1_000_000]);
  const asked = run.ask('a', { isUpgrade: true, isHeld: true });
  run.sent();
  run.receive(headers(1, [':status', '200']), data(1, 'hello'));
  await settled();
  const { switched } = asked;
  if (switched === undefined) throw new Error('not switched');
  const got: string[] = [];
  switched.on('data', (chunk: Buffer) => got.push(chunk.toString()));
  switched.write('hello yourself');
  await settled();
  t.strictSame(got, ['hello']);
  t.strictSame(run.sent(), ['DATA 1 "hello yourself"']);
  run.receive(data(1, '', { end: true }));
  await once(switched, 'end');
  t.strictSame(run.sent(), [], 'its end does not end our half');
  switched.end();
  await once(switched, 'close');
  t.strictSame(run.sent(), ['DATA 1 END_STREAM ""']);
  t.equal(run.session.streams.size, 0);
});
