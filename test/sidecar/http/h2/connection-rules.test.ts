import t from 'tap';
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  GOAWAY,
  HAS_PRIORITY,
  HEADERS,
  NO_ERROR,
  PADDED,
  PING,
  PREFACE,
  PUSH_PROMISE,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from '#sidecar/http/h2/frame.ts';
import { HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import {
  ENABLE_CONNECT_PROTOCOL,
  ENABLE_PUSH,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  KEEP_HEADER_CASE,
  MAX_FRAME_SIZE,
} from '#sidecar/http/h2/settings.ts';
import {
  block,
  data,
  describe,
  FrameSplitter,
  frame,
  goaway,
  headers,
  ping,
  priority,
  request,
  rstStream,
  settings,
  settingsAck,
  windowUpdate,
} from './frames.ts';
import { literal } from './hpack/blocks.ts';
import { ClientRun, greetedClient, greetedServer, ServerRun } from './session-runs.ts';

/** Bytes that end a connection: what the GOAWAY says, and the last stream that was taken. */
interface Fault {
  readonly title: string;
  readonly bytes: readonly Buffer[];
  readonly goaway: string;
}

const open = headers(1, request('POST', '/'));

const SERVER_FAULTS: readonly Fault[] = [
  { title: '§4.1: a DATA frame on stream 0', bytes: [data(0, 'x')], goaway: '0 PROTOCOL_ERROR' },
  {
    title: '§6.1: PADDED DATA without a length of its padding',
    bytes: [open, frame(DATA, PADDED, 1)],
    goaway: '1 FRAME_SIZE_ERROR',
  },
  {
    title: '§6.1: padding as long as its DATA frame',
    bytes: [open, frame(DATA, PADDED, 1, Buffer.of(4, 1, 2, 3))],
    goaway: '1 PROTOCOL_ERROR',
  },
  { title: '§5.1: DATA on an idle stream', bytes: [data(1, 'x')], goaway: '0 PROTOCOL_ERROR' },
  { title: '§6.2: HEADERS on stream 0', bytes: [headers(0, request('GET', '/'))], goaway: '0 PROTOCOL_ERROR' },
  {
    title: '§6.2: padding longer than its HEADERS frame',
    bytes: [frame(HEADERS, PADDED | END_HEADERS, 1, Buffer.of(9, 0x82))],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§6.2: PADDED HEADERS without a length of its padding',
    bytes: [frame(HEADERS, PADDED | END_HEADERS, 1)],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§6.2: HEADERS too short for its priority',
    bytes: [frame(HEADERS, HAS_PRIORITY | END_HEADERS, 1, Buffer.of(0, 0, 0, 0))],
    goaway: '0 FRAME_SIZE_ERROR',
  },
  {
    title: 'RFC 7540 §5.3.1: HEADERS that depends on its own stream',
    bytes: [headers(1, request('GET', '/'), { dependsOn: 1 })],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§5.1.1: a request on an even stream',
    bytes: [headers(2, request('GET', '/'))],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§4.3: a header block that is no HPACK',
    bytes: [headers(1, Buffer.of(0x80))],
    goaway: '0 COMPRESSION_ERROR',
  },
  {
    title: '§4.3: trailers that are no HPACK',
    bytes: [open, headers(1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), { end: true })],
    goaway: '1 COMPRESSION_ERROR',
  },
  {
    title: '§4.3: no HPACK on a stream that was reset',
    bytes: [headers(1, request('GET', 'x')), headers(1, Buffer.of(0x80))],
    goaway: '1 COMPRESSION_ERROR',
  },
  { title: '§6.3: PRIORITY on stream 0', bytes: [priority(0, 3)], goaway: '0 PROTOCOL_ERROR' },
  { title: '§6.4: RST_STREAM on stream 0', bytes: [rstStream(0, 8)], goaway: '0 PROTOCOL_ERROR' },
  { title: '§6.4: RST_STREAM on an idle stream', bytes: [rstStream(1, 8)], goaway: '0 PROTOCOL_ERROR' },
  { title: '§6.4: RST_STREAM on an idle stream of the server', bytes: [rstStream(2, 8)], goaway: '0 PROTOCOL_ERROR' },
  {
    title: '§6.4: RST_STREAM of three bytes',
    bytes: [open, frame(RST_STREAM, 0, 1, Buffer.alloc(3))],
    goaway: '1 FRAME_SIZE_ERROR',
  },
  { title: '§6.5: SETTINGS on a stream', bytes: [frame(SETTINGS, 0, 1)], goaway: '0 PROTOCOL_ERROR' },
  {
    title: '§6.5: SETTINGS of five bytes',
    bytes: [frame(SETTINGS, 0, 0, Buffer.alloc(5))],
    goaway: '0 FRAME_SIZE_ERROR',
  },
  {
    title: '§6.5: a SETTINGS acknowledgement with a payload',
    bytes: [frame(SETTINGS, ACK, 0, Buffer.alloc(6))],
    goaway: '0 FRAME_SIZE_ERROR',
  },
  { title: '§6.5.2: ENABLE_PUSH of 2', bytes: [settings([ENABLE_PUSH, 2])], goaway: '0 PROTOCOL_ERROR' },
  {
    title: '§6.5.2: INITIAL_WINDOW_SIZE of 2^31',
    bytes: [settings([INITIAL_WINDOW_SIZE, 0x8000_0000])],
    goaway: '0 FLOW_CONTROL_ERROR',
  },
  { title: '§6.5.2: MAX_FRAME_SIZE of 16383', bytes: [settings([MAX_FRAME_SIZE, 16_383])], goaway: '0 PROTOCOL_ERROR' },
  {
    title: '§6.5.2: MAX_FRAME_SIZE of 2^24',
    bytes: [settings([MAX_FRAME_SIZE, 0x100_0000])],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: 'RFC 8441 §3: ENABLE_CONNECT_PROTOCOL of 2',
    bytes: [settings([ENABLE_CONNECT_PROTOCOL, 2])],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§8.4: PUSH_PROMISE of a client',
    bytes: [open, frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.of(0, 0, 0, 2))],
    goaway: '1 PROTOCOL_ERROR',
  },
  { title: '§6.7: PING on a stream', bytes: [frame(PING, 0, 1, Buffer.alloc(8))], goaway: '0 PROTOCOL_ERROR' },
  { title: '§6.7: PING of nine bytes', bytes: [frame(PING, 0, 0, Buffer.alloc(9))], goaway: '0 FRAME_SIZE_ERROR' },
  { title: '§6.7: a PING acknowledgement of no bytes', bytes: [frame(PING, ACK, 0)], goaway: '0 FRAME_SIZE_ERROR' },
  { title: '§6.8: GOAWAY on a stream', bytes: [frame(GOAWAY, 0, 1, Buffer.alloc(8))], goaway: '0 PROTOCOL_ERROR' },
  { title: '§6.8: GOAWAY of seven bytes', bytes: [frame(GOAWAY, 0, 0, Buffer.alloc(7))], goaway: '0 FRAME_SIZE_ERROR' },
  {
    title: '§6.9: WINDOW_UPDATE of three bytes',
    bytes: [frame(WINDOW_UPDATE, 0, 0, Buffer.alloc(3))],
    goaway: '0 FRAME_SIZE_ERROR',
  },
  { title: '§6.9: WINDOW_UPDATE of 0 on the connection', bytes: [windowUpdate(0, 0)], goaway: '0 PROTOCOL_ERROR' },
  { title: '§6.9: WINDOW_UPDATE on an idle stream', bytes: [windowUpdate(1, 1)], goaway: '0 PROTOCOL_ERROR' },
  {
    title: '§6.9.1: the window of the connection beyond 2^31-1',
    bytes: [windowUpdate(0, 0x7fff_ffff)],
    goaway: '0 FLOW_CONTROL_ERROR',
  },
  {
    title: '§6.10: CONTINUATION without a header block',
    bytes: [open, frame(CONTINUATION, END_HEADERS, 1)],
    goaway: '1 PROTOCOL_ERROR',
  },
  {
    title: '§6.10: CONTINUATION on stream 0',
    bytes: [frame(CONTINUATION, END_HEADERS, 0)],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§6.10: CONTINUATION of another stream within a block',
    bytes: [frame(HEADERS, 0, 1), frame(CONTINUATION, END_HEADERS, 3)],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§6.10: DATA within a header block',
    bytes: [open, frame(HEADERS, 0, 3), data(1, 'x')],
    goaway: '1 PROTOCOL_ERROR',
  },
  {
    title: '§5.5: a frame of unknown type within a header block',
    bytes: [frame(HEADERS, 0, 1), frame(0xbe, 0, 1)],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§6.2: HEADERS within a header block',
    bytes: [frame(HEADERS, 0, 1), headers(1, request('GET', '/'))],
    goaway: '0 PROTOCOL_ERROR',
  },
  {
    title: '§4.2: a frame larger than we said',
    bytes: [open, frame(DATA, 0, 1, Buffer.alloc(16_385))],
    goaway: '1 FRAME_SIZE_ERROR',
  },
  {
    title: '§4.2: an unknown frame larger than we said',
    bytes: [frame(0xbe, 0, 0, Buffer.alloc(16_385))],
    goaway: '0 FRAME_SIZE_ERROR',
  },
];

t.test('what breaks a rule of the connection ends it with GOAWAY and the code of RFC 9113', async (t) => {
  for (const { title, bytes, goaway: wanted } of SERVER_FAULTS) {
    const run = greetedServer();
    run.receive(Buffer.concat(bytes));
    t.equal(run.sent().at(-1), `GOAWAY ${wanted}`, title);
    t.match(run.told().join('\n'), /^fatal /m, title);
    t.equal(run.session.streams.size, 0, `${title}: no stream is left`);
    run.receive(headers(9, request('GET', '/after'), { end: true }), ping());
    t.strictSame([run.told(), run.sent()], [[], []], `${title}: nothing is read behind it`);
  }
});

t.test('a connection begins with the preface and SETTINGS', async (t) => {
  const run = new ServerRun();
  t.strictSame(
    run.sent(),
    ['SETTINGS 4=1048576 6=61440 61863=1 3=4096 8=1', 'WINDOW_UPDATE 0 4128769'],
    '§3.4: ours go first and need not wait',
  );
  run.receive(PREFACE, settings([HEADER_TABLE_SIZE, 100]));
  t.strictSame([run.sent(), run.told()], [['SETTINGS ACK'], ['ready']], '§6.5.3: acknowledged at once');
  t.ok(run.session.isUnacknowledged);
  run.receive(settingsAck);
  t.notOk(run.session.isUnacknowledged);

  for (const [title, bytes] of [
    ['§3.4: a request line of HTTP/1.1', Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n')],
    ['§3.4: one byte of the preface is another', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\rX')],
    ['§3.4: the first frame is PING', Buffer.concat([PREFACE, ping()])],
    ['§3.4: the first frame is DATA', Buffer.concat([PREFACE, data(1, 'x')])],
    ['§3.4: the first frame is HEADERS', Buffer.concat([PREFACE, headers(1, request('GET', '/'))])],
    ['§3.4: the first frame is an acknowledgement', Buffer.concat([PREFACE, settingsAck])],
    ['§3.4: the first SETTINGS is on a stream', Buffer.concat([PREFACE, frame(SETTINGS, 0, 1)])],
  ] as const) {
    const broken = new ServerRun();
    broken.sent();
    broken.receive(bytes);
    t.strictSame(broken.sent(), ['GOAWAY 0 PROTOCOL_ERROR'], title);
  }
  t.strictSame(
    greetedClient().receive(data(1, 'x')).sent(),
    ['GOAWAY 0 PROTOCOL_ERROR'],
    'a server that sends DATA on a stream that was never opened',
  );
});

t.test('a client is as strict with its server', async (t) => {
  const faults: readonly Fault[] = [
    {
      title: '§8.4: PUSH_PROMISE although push was forbidden',
      bytes: [frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.of(0, 0, 0, 2))],
      goaway: '0 PROTOCOL_ERROR',
    },
    { title: '§5.1: HEADERS on an idle stream', bytes: [headers(3, [':status', '200'])], goaway: '0 PROTOCOL_ERROR' },
    { title: '§5.1.1: HEADERS on an even stream', bytes: [headers(2, [':status', '200'])], goaway: '0 PROTOCOL_ERROR' },
    { title: '§5.1: WINDOW_UPDATE on an idle stream', bytes: [windowUpdate(3, 1)], goaway: '0 PROTOCOL_ERROR' },
    { title: '§5.1: RST_STREAM on an idle stream', bytes: [rstStream(3, 8)], goaway: '0 PROTOCOL_ERROR' },
    { title: '§6.9: WINDOW_UPDATE of 0', bytes: [windowUpdate(0, 0)], goaway: '0 PROTOCOL_ERROR' },
    { title: '§4.3: no HPACK', bytes: [headers(1, Buffer.of(0x80))], goaway: '0 COMPRESSION_ERROR' },
  ];
  for (const { title, bytes, goaway: wanted } of faults) {
    const run = greetedClient();
    run.ask('a');
    run.sent();
    run.receive(...bytes);
    t.equal(run.sent().at(-1), `GOAWAY ${wanted}`, title);
    t.equal(run.session.streams.size, 0, title);
  }
});

t.test('§3.4: a client sends the preface and SETTINGS first, and forbids push', async (t) => {
  const { session } = new ClientRun();
  const bytes = Buffer.concat(session.output.take());
  t.strictSame(bytes.subarray(0, PREFACE.length), PREFACE);
  const decoder = new HeaderDecoder();
  t.strictSame(
    new FrameSplitter().push(bytes.subarray(PREFACE.length)).map((each) => describe(each, decoder)),
    ['SETTINGS 4=1048576 6=61440 61863=1 2=0', 'WINDOW_UPDATE 0 4128769'],
  );
  t.equal(session.room, Number.POSITIVE_INFINITY);
  t.notOk(session.isReady, 'the server has said nothing yet');
});

t.test('what is not an error is none', async (t) => {
  const run = greetedServer();
  run.receive(ping('abcdefgh'));
  t.strictSame(run.sent(), ['PING ACK abcdefgh'], '§6.7: PING comes back as it was');
  run.receive(ping('........', ACK));
  t.strictSame(run.sent(), [], '§6.7: an acknowledgement is not answered');
  run.receive(frame(0xbe, 0xff, 7, Buffer.alloc(100)), frame(0x0c, 0, 0), priority(5, 3));
  t.strictSame(run.sent(), [], '§5.5, §6.3: unknown frames and priorities are ignored');
  run.receive(settings([0x99, 7], [0xffff, 0xffff_ffff], [KEEP_HEADER_CASE, 2]));
  t.strictSame(run.sent(), ['SETTINGS ACK'], '§6.5.2: unknown settings are ignored');
  t.notOk(run.session.isCased, 'and so is an unknown value of our own');
  run.receive(frame(PING, 0, 0x8000_0000, Buffer.from('reserved')));
  t.strictSame(run.sent(), ['PING ACK reserved'], '§4.1: the reserved bit is ignored');
  run.receive(windowUpdate(0, 0x8000_0001));
  t.strictSame(run.sent(), [], '§6.9: so is that of an increment');
  run.receive(frame(HEADERS, END_HEADERS | END_STREAM | 0x42, 5, headers(1, request('GET', '/flags')).subarray(9)));
  t.match(run.told().join('\n'), /^5 GET \/flags /m, '§4.1: so are flags that have no meaning');
  run.receive(frame(SETTINGS, 0, 0));
  t.strictSame(run.sent(), ['SETTINGS ACK'], 'SETTINGS may be empty');
});

t.test('§6.8: GOAWAY of a client lets what is under way go on', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('GET', '/')), goaway(0, NO_ERROR, 'bye'));
  t.match(run.told().join('\n'), /goaway 0 0$/);
  const body = run.request(1).respond({ status: 200, reason: '', headers: [] });
  run.receive(data(1, 'still', { end: true }));
  body.end([]);
  t.strictSame(run.sent(), ['HEADERS 1 END_STREAM [:status: 200]']);
  t.match(run.told().join(), /1 end "still"/);
});

t.test('§6.8: GOAWAY in two steps loses no request', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('GET', '/1')));
  run.session.announceGoaway();
  t.strictSame(run.sent(), ['GOAWAY 2147483647 NO_ERROR']);
  run.receive(headers(3, request('GET', '/3'), { end: true }));
  t.match(run.told().join('\n'), /^3 GET \/3/m, 'what was under way is served');
  run.session.goaway(NO_ERROR);
  t.strictSame(run.sent(), ['GOAWAY 3 NO_ERROR']);
  run.receive(headers(5, request('GET', '/5')), data(5, 'x', { end: true }), rstStream(5, 8), windowUpdate(5, 1));
  t.strictSame([run.told(), run.sent()], [[], []], 'what comes later is left unread, and is no fault');
  run.request(3).respond({ status: 204, reason: '', headers: [] }).end([]);
  run.receive(data(1, '', { end: true }));
  run.request(1).respond({ status: 204, reason: '', headers: [] }).end([]);
  t.strictSame(run.sent(), ['HEADERS 3 END_STREAM [:status: 204]', 'HEADERS 1 END_STREAM [:status: 204]']);
  t.equal(run.session.streams.size, 0);
});

t.test('header blocks of a stream that is not served keep the table in step', async (t) => {
  const run = greetedServer();
  run.session.goaway(NO_ERROR);
  const indexed = Buffer.concat([block(request('GET', '/')), literal(0x40, 'a', 'b')]);
  run.receive(headers(1, indexed, { end: true }));
  run.receive(headers(1, Buffer.of(0xbe)), ping());
  t.match(run.sent().join(), /PING ACK/, 'the entry that was put in there is known');
});

t.test('bytes behind the end of a frame are the next frame', async (t) => {
  const run = greetedServer();
  run.receive(Buffer.concat([ping('11111111'), ping('22222222'), ping('33333333').subarray(0, 12)]));
  t.strictSame(run.sent(), ['PING ACK 11111111', 'PING ACK 22222222']);
  run.receive(ping('33333333').subarray(12));
  t.strictSame(run.sent(), ['PING ACK 33333333']);
});
