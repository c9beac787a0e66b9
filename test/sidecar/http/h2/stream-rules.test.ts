import t from 'tap';
import { CANCEL, CONTINUATION, END_HEADERS, HEADERS, PRIORITY } from '#sidecar/http/h2/frame.ts';
import {
  FAIR_BYTES_PER_CONNECTION,
  MAX_HEADER_FIELDS,
  MAX_HEADER_LIST_BYTES,
  MAX_STREAMS_PER_CONNECTION,
  STREAM_WINDOW_BYTES,
} from '#sidecar/http/h2/http2-session.ts';
import { MemoryBudget } from '#sidecar/http/h2/memory-budget.ts';
import {
  block,
  clientPreface,
  data,
  frame,
  headers,
  priority,
  request,
  rstStream,
  settingsAck,
  windowUpdate,
} from './frames.ts';
import { greetedServer, ServerRun } from './session-runs.ts';

/** Bytes that end a stream and leave the connection: the answer to the stream, and what its owner is told. */
interface StreamFault {
  readonly title: string;
  readonly bytes: readonly Buffer[];
  readonly reset: string;
  readonly told?: RegExp;
}

const post = (...more: string[]) => headers(1, request('POST', '/', ...more));

const FAULTS: readonly StreamFault[] = [
  {
    title: '§5.1: DATA behind END_STREAM',
    bytes: [headers(1, request('GET', '/'), { end: true }), data(1, 'x')],
    reset: 'STREAM_CLOSED',
    told: /1 abandoned/,
  },
  {
    title: '§5.1: HEADERS behind END_STREAM',
    bytes: [headers(1, request('GET', '/'), { end: true }), headers(1, ['a', 'b'], { end: true })],
    reset: 'STREAM_CLOSED',
    told: /1 abandoned/,
  },
  {
    title: '§8.1: a second header block that does not end the stream',
    bytes: [post(), headers(1, ['a', 'b'])],
    reset: 'PROTOCOL_ERROR',
    told: /1 abandoned.*1 broke off/,
  },
  {
    title: '§8.1: a pseudo-header field in the trailers',
    bytes: [post(), headers(1, [':path', '/2'], { end: true })],
    reset: 'PROTOCOL_ERROR',
    told: /1 broke off/,
  },
  {
    title: '§8.2.2: a connection-specific field in the trailers',
    bytes: [post(), headers(1, ['connection', 'close'], { end: true })],
    reset: 'PROTOCOL_ERROR',
    told: /1 broke off/,
  },
  {
    title: '§8.1.1: more DATA than content-length says',
    bytes: [post('content-length', '3'), data(1, 'abcd')],
    reset: 'PROTOCOL_ERROR',
    told: /1 broke off/,
  },
  {
    title: '§8.1.1: more DATA than content-length says, in several frames',
    bytes: [post('content-length', '3'), data(1, 'ab'), data(1, 'cd', { end: true })],
    reset: 'PROTOCOL_ERROR',
    told: /1 broke off after "ab"/,
  },
  {
    title: '§8.1.1: less DATA than content-length says',
    bytes: [post('content-length', '3'), data(1, 'ab', { end: true })],
    reset: 'PROTOCOL_ERROR',
    told: /1 broke off after "ab"/,
  },
  {
    title: '§8.1.1: less DATA than content-length says, before trailers',
    bytes: [post('content-length', '3'), data(1, 'ab'), headers(1, ['a', 'b'], { end: true })],
    reset: 'PROTOCOL_ERROR',
    told: /1 broke off after "ab"/,
  },
  {
    title: '§8.1.1: no DATA although content-length says so',
    bytes: [headers(1, request('POST', '/', 'content-length', '3'), { end: true })],
    reset: 'PROTOCOL_ERROR',
  },
  {
    title: '§6.9: WINDOW_UPDATE of 0',
    bytes: [post(), windowUpdate(1, 0)],
    reset: 'PROTOCOL_ERROR',
    told: /1 abandoned.*1 broke off/,
  },
  {
    title: '§6.9.1: a window beyond 2^31-1',
    bytes: [post(), windowUpdate(1, 0x7fff_ffff)],
    reset: 'FLOW_CONTROL_ERROR',
    told: /1 abandoned/,
  },
  {
    title: '§6.3: PRIORITY of four bytes',
    bytes: [post(), frame(PRIORITY, 0, 1, Buffer.alloc(4))],
    reset: 'FRAME_SIZE_ERROR',
    told: /1 abandoned/,
  },
  {
    title: 'RFC 7540 §5.3.1: a stream that depends on itself',
    bytes: [post(), priority(1, 1)],
    reset: 'PROTOCOL_ERROR',
    told: /1 abandoned/,
  },
  {
    title: 'trailers over the limit',
    bytes: [post(), headers(1, ['a', 'x'.repeat(MAX_HEADER_LIST_BYTES)], { end: true, piece: 16_384 })],
    reset: 'PROTOCOL_ERROR',
    told: /1 broke off/,
  },
  {
    title: '§6.9: more DATA than the window of the stream',
    bytes: [
      post(),
      ...Array.from({ length: STREAM_WINDOW_BYTES / 16_384 }, () => data(1, Buffer.alloc(16_384))),
      data(1, 'x'),
    ],
    reset: 'FLOW_CONTROL_ERROR',
    told: /1 broke off/,
  },
];

t.test('what breaks a rule of a stream ends that stream, and tells its owner and its reader', async (t) => {
  for (const { title, bytes, reset, told } of FAULTS) {
    const run = greetedServer();
    // the window of the stream is to be what is exceeded: nobody reads
    if (reset === 'FLOW_CONTROL_ERROR') run.serve = (request, id) => run.read(request, id) && request.body.pause();
    run.receive(...bytes);
    t.equal(
      run
        .sent()
        .filter((line) => !line.startsWith('WINDOW'))
        .join(),
      `RST_STREAM 1 ${reset}`,
      title,
    );
    if (told !== undefined) t.match(run.told().join(' '), told, title);
    t.equal(run.session.streams.size, 0, title);
    t.equal(run.budget.usedBytes, 0, `${title}: nothing waits any more`);
    run.told();
    run.receive(data(1, 'late'), headers(1, ['late', '1'], { end: true }), rstStream(1, CANCEL), windowUpdate(1, 1));
    t.strictSame([run.told(), run.sent()], [[], []], `${title}: what was under way is passed over`);
    run.receive(headers(3, request('GET', '/next'), { end: true }));
    t.match(run.told().join(), /3 GET \/next/, `${title}: the connection goes on`);
  }
});

t.test('faults of a stream that is no more are faults of the connection', async (t) => {
  for (const [title, bytes, code] of [
    ['§5.1: DATA on a stream that both sides have ended', data(1, 'x'), 'STREAM_CLOSED'],
    ['§5.1: HEADERS on a stream that both sides have ended', headers(1, request('GET', '/')), 'STREAM_CLOSED'],
    ['§5.1.1: HEADERS on a stream below the last one', headers(3, request('GET', '/')), 'STREAM_CLOSED'],
    ['§6.3: PRIORITY of a wrong length on an idle stream', frame(PRIORITY, 0, 9, Buffer.alloc(4)), 'FRAME_SIZE_ERROR'],
    ['RFC 7540 §5.3.1: PRIORITY of an idle stream on itself', priority(9, 9), 'PROTOCOL_ERROR'],
  ] as const) {
    const run = greetedServer();
    run.receive(headers(1, request('GET', '/'), { end: true }), headers(5, request('GET', '/')));
    run.request(1).respond({ status: 204, reason: '', headers: [] }).end([]);
    run.sent();
    run.receive(bytes);
    t.strictSame(run.sent(), [`GOAWAY 5 ${code}`], title);
    t.match(run.told().join(' '), /5 abandoned/, `${title}: all others are told`);
  }
});

t.test('frames that may come on a stream that has ended are passed over', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('GET', '/'), { end: true }));
  run.request(1).respond({ status: 204, reason: '', headers: [] }).end([]);
  run.sent();
  run.told();
  run.receive(windowUpdate(1, 100), rstStream(1, CANCEL), priority(1, 3), windowUpdate(1, 0));
  t.strictSame([run.told(), run.sent()], [[], []], '§5.1: WINDOW_UPDATE, RST_STREAM and PRIORITY on a closed stream');
  run.receive(headers(3, request('POST', '/')), rstStream(3, CANCEL));
  run.told();
  run.receive(data(3, 'x'));
  t.strictSame(run.sent(), ['GOAWAY 3 STREAM_CLOSED'], '§5.1: but DATA behind its own RST_STREAM is a fault');
});

t.test('§5.1: a reset by the caller is told once, to owner and reader', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('POST', '/')), data(1, 'ab'), rstStream(1, CANCEL));
  t.strictSame(run.told().slice(1), [
    '1 abandoned: the other side reset the stream: CANCEL',
    '1 broke off after "ab": the other side reset the stream: CANCEL',
  ]);
  run.receive(rstStream(1, CANCEL));
  t.strictSame(run.told(), []);
  const outgoing = run.request(1).respond({ status: 200, reason: '', headers: [] });
  outgoing.write(Buffer.from('too late'));
  outgoing.end([]);
  outgoing.abort(new Error('too late'));
  run.request(1).destroy();
  t.strictSame(run.sent(), [], 'nothing is sent on it any more');
  t.strictSame(run.told(), [], 'and nothing told');
});

t.test('a lost connection ends every stream, once', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('POST', '/')), headers(3, request('GET', '/'), { end: true }));
  run.told();
  run.session.abandon('the cable was cut');
  t.strictSame(run.told(), [
    '1 abandoned: the cable was cut',
    '1 broke off after "": the cable was cut',
    '3 abandoned: the cable was cut',
  ]);
  run.session.abandon('again');
  run.receive(headers(5, request('GET', '/')));
  t.strictSame(run.told(), []);
});

t.test('what is left of a read is not read once the connection is over', async (t) => {
  const run = greetedServer();
  run.serve = () => run.session.abandon('it was closed while it was read');
  run.receive(Buffer.concat([1, 3, 5].map((id) => headers(id, request('GET', '/'), { end: true }))));
  t.match(run.told(), [/^1 GET/, /^1 abandoned/]);
  t.equal(run.session.streams.size, 0);
});

t.test('§8.1: trailers arrive, with DATA before them or without', async (t) => {
  const run = greetedServer();
  run.receive(
    headers(1, request('POST', '/')),
    data(1, 'ab'),
    data(1, ''),
    headers(1, ['x-sum', '1', 'x-sum', '2'], { end: true }),
  );
  run.receive(headers(3, request('POST', '/')), headers(3, ['x-sum', ''], { end: true }));
  run.receive(headers(5, request('POST', '/')), headers(5, [], { end: true }));
  t.strictSame(
    run.told().filter((line) => line.includes(' end ')),
    ['1 end "ab" x-sum 1 x-sum 2', '3 end "" x-sum ', '5 end ""'],
  );
  t.strictSame(run.sent(), []);
});

t.test('RFC 9110 §6.5.1: what frames, routes or was decided on is not taken from trailers', async (t) => {
  for (const name of [
    'content-length',
    'host',
    'te',
    'trailer',
    'authorization',
    'content-type',
    'content-encoding',
    'content-range',
    'transfer_encoding',
    'content_length',
  ]) {
    const run = greetedServer();
    run.receive(
      headers(1, request('POST', '/')),
      data(1, 'ab'),
      headers(1, [name, name === 'te' ? 'trailers' : '7'], { end: true }),
    );
    t.strictSame(run.sent(), ['RST_STREAM 1 PROTOCOL_ERROR'], name);
    t.match(run.told().at(-1), /^1 broke off after "ab"/, name);
  }
});

t.test('padding is taken off DATA and HEADERS', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('POST', '/padded'), { padding: 255, dependsOn: 0 }));
  run.receive(
    data(1, 'body', { padding: 0 }),
    data(1, '', { padding: 200 }),
    data(1, '!', { padding: 255, end: true }),
  );
  t.match(run.told().join(' '), /1 POST \/padded host server.test 1 end "body!"$/);
  run.receive(headers(3, request('POST', '/', 'content-length', '1')), data(3, '!', { padding: 9, end: true }));
  t.match(run.told().join(' '), /3 end "!"$/, 'and does not count as content');
});

t.test('§6.10: a header block in pieces is one, also in empty ones', async (t) => {
  const run = greetedServer();
  const fields = request('GET', '/pieces', 'x-long', 'y'.repeat(200));
  run.receive(headers(1, fields, { piece: 10, end: true }));
  t.match(run.told().join(), /^1 GET \/pieces host server.test x-long y{200}$/);
  const whole = block(fields);
  run.receive(
    frame(HEADERS, 1, 3),
    frame(CONTINUATION, 0, 3),
    frame(CONTINUATION, 0, 3, whole),
    frame(CONTINUATION, END_HEADERS, 3),
  );
  t.match(run.told().join(), /^3 GET \/pieces host server.test x-long y{200}$/);
  t.ok(run.stream(3).isRemoteEnded, 'END_STREAM is that of the HEADERS frame');
});

t.test('streams beyond the limit are refused, and room that was given back is used', async (t) => {
  const run = greetedServer();
  run.serve = () => {};
  for (let index = 0; index < MAX_STREAMS_PER_CONNECTION; index++)
    run.receive(headers(index * 2 + 1, request('GET', '/'), { end: true }));
  t.equal(run.told().length, MAX_STREAMS_PER_CONNECTION);
  t.strictSame(run.sent(), []);
  const next = MAX_STREAMS_PER_CONNECTION * 2 + 1;
  run.receive(headers(next, request('POST', '/')), data(next, 'x', { end: true }));
  t.strictSame([run.told(), run.sent()], [[], [`RST_STREAM ${next} REFUSED_STREAM`]], '§5.1.2');
  run.request(1).respond({ status: 204, reason: '', headers: [] }).end([]);
  run.sent();
  run.receive(headers(next + 2, request('GET', '/'), { end: true }));
  t.equal(run.told().length, 1);
  t.strictSame(run.sent(), []);
});

t.test('streams are refused while the memory of the process is used up', async (t) => {
  const budget = new MemoryBudget(4_000_000);
  const connect = () => {
    const run = new ServerRun(budget).receive(clientPreface(), settingsAck);
    run.serve = (request) => request.body.pause();
    run.sent();
    return run;
  };
  const glutton = connect();
  for (const id of [1, 3, 5, 7, 9]) {
    glutton.receive(headers(id, request('POST', '/')));
    for (let count = 0; count < STREAM_WINDOW_BYTES / 16_384; count++) glutton.receive(data(id, Buffer.alloc(16_384)));
  }
  t.ok(budget.isExhausted);
  t.ok(budget.usedBytes > FAIR_BYTES_PER_CONNECTION);
  glutton.receive(headers(11, request('GET', '/'), { end: true }));
  t.match(glutton.sent().at(-1), 'RST_STREAM 11 REFUSED_STREAM', 'those who hold much of it come first');
  const modest = connect();
  modest.receive(headers(1, request('GET', '/'), { end: true }));
  t.strictSame(modest.sent(), [], 'others are served');
  budget.usedBytes += 8_000_000;
  t.ok(budget.isOverdrawn);
  modest.receive(headers(3, request('GET', '/'), { end: true }));
  t.strictSame(modest.sent(), ['RST_STREAM 3 REFUSED_STREAM'], 'up to a point');
  budget.usedBytes -= 8_000_000;
  glutton.session.abandon('over');
  t.equal(budget.usedBytes, 0);
  modest.receive(headers(5, request('GET', '/'), { end: true }));
  t.strictSame(modest.sent(), []);
});

t.test('header lists over a limit are told with the limit, and cost no table', async (t) => {
  const run = greetedServer();
  const many = Array.from({ length: MAX_HEADER_FIELDS + 1 }, (_, index) => [`x-${index}`, '']).flat();
  run.receive(headers(1, request('GET', '/', ...many), { end: true, piece: 16_000 }));
  run.receive(
    headers(3, request('GET', '/', 'x-long', 'y'.repeat(MAX_HEADER_LIST_BYTES)), { end: true, piece: 16_000 }),
  );
  t.strictSame(run.told(), [
    `too large 1: maxHeaderFields ${MAX_HEADER_FIELDS}`,
    `too large 3: maxHeaderListBytes ${MAX_HEADER_LIST_BYTES}`,
  ]);
  run.receive(
    headers(5, request('GET', '/', ...many.slice(0, (MAX_HEADER_FIELDS - 4) * 2)), { end: true, piece: 16_000 }),
  );
  t.match(run.told().join(), /^5 GET /, 'what is within the limits is served');
  run.receive(headers(7, request('GET', '/', 'x-long', 'y'.repeat(140_000)), { end: true, piece: 16_000 }));
  t.strictSame(run.sent(), ['GOAWAY 5 ENHANCE_YOUR_CALM'], 'a block beyond any measure ends the connection');
});

t.test('§5.1.1: the last stream there can be is served, and none behind it', async (t) => {
  const run = greetedServer();
  run.receive(headers(0x7fff_ffff, request('GET', '/last'), { end: true }));
  t.match(run.told().join(), /^2147483647 GET \/last/);
  run.request(0x7fff_ffff).respond({ status: 204, reason: '', headers: [] }).end([]);
  t.strictSame(run.sent(), ['HEADERS 2147483647 END_STREAM [:status: 204]']);
  run.receive(headers(1, request('GET', '/again')));
  t.strictSame(run.sent(), ['GOAWAY 2147483647 STREAM_CLOSED']);
});
