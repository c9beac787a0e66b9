import t from 'tap';
import { CANCEL, NO_ERROR } from '#sidecar/http/h2/frame.ts';
import { data, headers, request, rstStream } from './frames.ts';
import { greetedServer, type ServerRun } from './session-runs.ts';

t.test(
  'the answer: one HEADERS where there is nothing else, END_STREAM on the last frame that has not left',
  async (t) => {
    const run = greetedServer();
    const answer = (id: number, path: string) => {
      run.receive(headers(id, request('GET', path), { end: true }));
      run.told();
      return run.request(id);
    };
    const head = { status: 200, reason: '', headers: ['grpc-status', '12'] };
    answer(1, '/').respond(head).end([]);
    t.strictSame(run.sent(), ['HEADERS 1 END_STREAM [:status: 200, grpc-status: 12]'], 'Trailers-Only of gRPC');

    const whole = answer(3, '/').respond(head);
    whole.write(Buffer.from('body'));
    whole.end([]);
    t.strictSame(run.sent(), ['HEADERS 3 [:status: 200, grpc-status: 12]', 'DATA 3 END_STREAM "body"']);

    const left = answer(5, '/').respond(head);
    left.write(Buffer.from('body'));
    t.equal(run.sent().length, 2);
    left.end([]);
    t.strictSame(run.sent(), ['DATA 5 END_STREAM ""'], 'what has left cannot be amended');

    const trailed = answer(7, '/').respond(head);
    trailed.write(Buffer.from('body'));
    trailed.end(['grpc-status', '0']);
    t.strictSame(run.sent(), [
      'HEADERS 7 [:status: 200, grpc-status: 12]',
      'DATA 7 "body"',
      'HEADERS 7 END_STREAM [grpc-status: 0]',
    ]);

    const first = answer(9, '/').respond(head);
    first.write(Buffer.from('nine'));
    const second = answer(11, '/').respond(head);
    second.write(Buffer.from('eleven'));
    first.end([]);
    second.end([]);
    t.strictSame(
      run.sent().filter((line) => line.includes('END_STREAM')),
      ['DATA 9 END_STREAM "nine"', 'DATA 11 END_STREAM "eleven"'],
      'each its own last frame',
    );

    const large = answer(13, '/').respond({ status: 200, reason: '', headers: ['x-large', 'y'.repeat(20_000)] });
    large.end([]);
    t.match(
      run.sent(),
      [/^HEADERS 13 begun/, /^CONTINUATION 13 \d+ bytes, the last/, 'DATA 13 END_STREAM ""'],
      '§6.10',
    );
    t.equal(run.session.streams.size, 0);
  },
);

t.test('heads that are many and large leave before the turn is over', async (t) => {
  const run = greetedServer();
  const large = { status: 200, reason: '', headers: ['x-large', 'y'.repeat(60_000)] };
  for (let id = 1; id < 37; id += 2) {
    run.receive(headers(id, request('GET', '/'), { end: true }));
    run.request(id).respond(large).end([]);
  }
  t.equal(run.told().filter((line) => line === 'much output').length, 1);
});

t.test('§8.1: an interim answer does not end anything', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('POST', '/', 'expect', '100-continue')));
  t.strictSame(run.sent(), ['HEADERS 1 [:status: 100]'], 'RFC 9110 §10.1.1: the body is asked for as it is read');
  run.request(1).inform({ status: 103, reason: '', headers: ['link', '</a>'] });
  run.request(1).respond({ status: 200, reason: '', headers: [] });
  run.request(1).inform({ status: 103, reason: '', headers: [] });
  t.strictSame(
    run.sent(),
    ['HEADERS 1 [:status: 103, link: </a>]', 'HEADERS 1 [:status: 200]'],
    'none behind the final one',
  );
});

t.test('§8.1: an answer that is whole before its request ends it with NO_ERROR', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('POST', '/')), data(1, 'ab'));
  run.told();
  run.request(1).respond({ status: 403, reason: '', headers: [] }).end([]);
  t.strictSame(run.sent(), ['HEADERS 1 END_STREAM [:status: 403]', 'RST_STREAM 1 NO_ERROR']);
  t.strictSame(run.told(), ['1 broke off after "ab": the answer is whole'], 'its reader hears so');
  run.receive(data(1, 'cd'), headers(1, ['x', 'y'], { end: true }), rstStream(1, NO_ERROR));
  t.strictSame([run.told(), run.sent()], [[], []]);
});

t.test('an answer that breaks off is told by RST_STREAM, so that nobody takes it for whole', async (t) => {
  const run = greetedServer();
  run.receive(headers(1, request('GET', '/'), { end: true }), headers(3, request('POST', '/')));
  const body = run.request(1).respond({ status: 200, reason: '', headers: [] });
  body.write(Buffer.from('half'));
  body.abort(new Error('the app is gone'));
  body.end([]);
  run.request(3).destroy();
  t.strictSame(run.sent(), [
    'HEADERS 1 [:status: 200]',
    'DATA 1 "half"',
    'RST_STREAM 1 INTERNAL_ERROR',
    'RST_STREAM 3 INTERNAL_ERROR',
  ]);
  t.equal(run.session.streams.size, 0);
});

t.test('bodies that nobody reads are given back when their stream is over, whichever way it ends', async (t) => {
  const ways: readonly (readonly [string, (run: ServerRun) => void])[] = [
    ['answered', (run) => run.request(1).respond({ status: 403, reason: '', headers: [] }).end([])],
    ['destroyed', (run) => run.request(1).destroy()],
    ['reset by the caller', (run) => run.receive(rstStream(1, CANCEL))],
    ['lost', (run) => run.session.abandon('lost')],
    ['cancelled', (run) => run.request(1).body.cancel()],
    ['aborted', (run) => run.request(1).respond({ status: 200, reason: '', headers: [] }).abort(new Error('x'))],
  ];
  for (const isWhole of [true, false]) {
    for (const isUpgrade of [true, false]) {
      for (const isStarted of [true, false]) {
        for (const [title, end] of ways) {
          const run = greetedServer();
          run.serve = (request, id) => {
            if (isStarted && request.body.isPresent) run.read(request, id);
            request.body.pause();
          };
          const head = isUpgrade
            ? [':method', 'CONNECT', ':protocol', 'websocket', ':scheme', 'http', ':authority', 'a', ':path', '/']
            : request('POST', '/');
          run.receive(headers(1, head), data(1, Buffer.alloc(5_000)), data(1, 'small', { end: isWhole }));
          t.equal(run.budget.usedBytes, 5_005);
          if (isUpgrade && title === 'cancelled') continue; // its bytes are no body: the answer decides
          end(run);
          t.equal(run.budget.usedBytes, 0, `${title}, whole: ${isWhole}, upgrade: ${isUpgrade}, started: ${isStarted}`);
        }
      }
    }
  }
});
