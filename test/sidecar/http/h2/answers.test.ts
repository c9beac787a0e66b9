import t from 'tap';
import { MAX_HEADER_LIST_BYTES } from '#sidecar/http/h2/http2-session.ts';
import { data, headers } from './frames.ts';
import { type AskOptions, greetedClient, settled } from './session-runs.ts';

/** What is told of a request that is answered with these bytes, and what is sent. */
async function answered(
  bytes: readonly Buffer[],
  options: AskOptions = {},
): Promise<{ told: string; sent: string; failure: Error | undefined }> {
  const run = greetedClient();
  const asked = run.ask('a', options);
  run.sent();
  run.receive(...bytes);
  await settled();
  return { told: run.told().join(' | '), sent: run.sent().join(' | '), failure: asked.failure };
}

const ok = (...more: string[]) => headers(1, [':status', '200', ...more]);
const whole = (...fields: string[]) => headers(1, fields, { end: true });

t.test('§8.1: an answer is a head, a body and perhaps trailers', async (t) => {
  for (const [title, bytes, wanted] of [
    ['head and body', [ok('x', 'y'), data(1, 'ab'), data(1, 'cd', { end: true })], 'a answered 200 x y | a end "abcd"'],
    ['head alone', [whole(':status', '404')], 'a answered 404 | a end ""'],
    ['an empty body', [ok(), data(1, '', { end: true })], 'a answered 200 | a end ""'],
    [
      'trailers',
      [ok(), data(1, 'ab'), headers(1, ['grpc-status', '0'], { end: true })],
      'a answered 200 | a end "ab" grpc-status 0',
    ],
    [
      'trailers without a body',
      [ok(), headers(1, ['grpc-status', '0'], { end: true })],
      'a answered 200 | a end "" grpc-status 0',
    ],
    [
      'content-length kept',
      [ok('content-length', '2'), data(1, 'ab', { end: true })],
      'a answered 200 content-length 2 | a end "ab"',
    ],
    [
      'padding',
      [ok(), data(1, 'ab', { padding: 100 }), data(1, '', { padding: 0, end: true })],
      'a answered 200 | a end "ab"',
    ],
    ['a status without a name', [whole(':status', '999')], 'a answered 999 | a end ""'],
  ] as const) {
    const { told, sent } = await answered(bytes);
    t.equal(told, wanted, title);
    t.equal(sent, '', title);
  }
});

t.test('§8.1: interim answers go before, and end nothing', async (t) => {
  const early = headers(1, [':status', '103', 'link', '</a>']);
  t.equal(
    (await answered([early, early, whole(':status', '204')])).told,
    'a informed 103 link </a> | a informed 103 link </a> | a answered 204 | a end ""',
  );
  t.equal(
    (await answered([headers(1, [':status', '100']), whole(':status', '204')])).told,
    'a answered 204 | a end ""',
    '100 is for us',
  );
  for (const [title, bytes] of [
    ['one that ends the stream', [whole(':status', '103')]],
    ['101, which HTTP/2 has not', [headers(1, [':status', '101'])]],
    ['DATA behind one', [early, data(1, 'x')]],
    ['more of them than anybody needs', Array.from({ length: 17 }, () => early)],
  ] as const) {
    const { told, sent } = await answered(bytes);
    t.match(told, / failed: /, title);
    t.match(sent, /RST_STREAM 1 PROTOCOL_ERROR/, title);
  }
});

t.test('§8.1.1: an answer that contradicts itself is none', async (t) => {
  for (const [title, bytes, wanted] of [
    ['no :status', [whole('x', 'y')], /^a failed: .*:status/],
    ['no fields', [whole()], /^a failed: .*:status/],
    ['a :status of two digits', [whole(':status', '20')], /^a failed/],
    ['a :status of four digits', [whole(':status', '2000')], /^a failed/],
    ['a :status that is no number', [whole(':status', '20x')], /^a failed/],
    ['a :status of 0', [whole(':status', '000')], /^a failed/],
    ['a :status with a line of HTTP/1.1', [whole(':status', '200 OK\r\nx: y')], /^a failed/],
    ['two :status', [whole(':status', '200', ':status', '200')], /^a failed/],
    [':path in an answer', [whole(':status', '200', ':path', '/')], /^a failed/],
    [':status behind a field', [whole('x', 'y', ':status', '200')], /^a failed/],
    [
      'a field that splits the answer',
      [whole(':status', '200', 'x', 'y\r\n\r\nHTTP/1.1 200 OK')],
      /^a failed: .*forbidden character/,
    ],
    ['a name that splits the answer', [whole(':status', '200', 'x: y\r\nz', 'y')], /^a failed: .*not a token/],
    ['connection', [whole(':status', '200', 'connection', 'close')], /^a failed/],
    ['transfer-encoding', [whole(':status', '200', 'transfer-encoding', 'chunked')], /^a failed/],
    ['upgrade', [whole(':status', '200', 'upgrade', 'websocket')], /^a failed/],
    ['two content-length', [whole(':status', '200', 'content-length', '0', 'content-length', '0')], /^a failed/],
    ['a signed content-length', [whole(':status', '200', 'content-length', '+0')], /^a failed/],
    ['content-length without a body', [whole(':status', '200', 'content-length', '5')], /^a failed: .*less DATA/],
    ['DATA before the head', [data(1, 'x')], /^a failed/],
    [
      'a header list over the limit',
      [headers(1, [':status', '200', 'x', 'y'.repeat(MAX_HEADER_LIST_BYTES)], { end: true, piece: 16_000 })],
      /^a failed: .*maxHeaderListBytes 61440/,
    ],
    [
      'less body than content-length',
      [ok('content-length', '5'), data(1, 'abc', { end: true })],
      /^a answered 200 content-length 5 \| a broke off after "": .*less DATA/,
    ],
    [
      'more body than content-length',
      [ok('content-length', '5'), data(1, 'abcdef', { end: true })],
      /^a answered .* \| a broke off after "": .*more DATA/,
    ],
    ['trailers that do not end', [ok(), headers(1, ['x', 'y'])], /^a answered 200 \| a broke off/],
    ['a second head', [ok(), headers(1, [':status', '200'], { end: true })], /^a answered 200 \| a broke off/],
    [
      'content-length in the trailers',
      [ok(), data(1, 'ab'), headers(1, ['content-length', '7'], { end: true })],
      /^a answered 200 \| a broke off/,
    ],
    [
      'DATA behind the end is the fault of a stream that is no more',
      [whole(':status', '200'), data(1, 'x')],
      /^fatal STREAM_CLOSED/,
    ],
  ] as const) {
    const { told, sent, failure } = await answered(bytes);
    t.match(told, wanted, title);
    t.match(sent, /RST_STREAM 1 PROTOCOL_ERROR|GOAWAY 0 STREAM_CLOSED/, title);
    if (told.startsWith('a failed')) t.match(failure, { kind: 'malformed', isUnsent: false, wasKept: false }, title);
  }
});

t.test('RFC 9110 §6.4.1: answers that have no body, whatever they say of its length', async (t) => {
  for (const [method, status] of [
    ['HEAD', '200'],
    ['GET', '204'],
    ['GET', '304'],
  ] as const) {
    const what = `${method} ${status}`;
    const { told } = await answered([whole(':status', status, 'content-length', '5')], { method });
    t.equal(told, `a answered ${status} content-length 5 | a end ""`, what);
    const late = await answered([headers(1, [':status', status, 'content-length', '5']), data(1, '', { end: true })], {
      method,
    });
    t.equal(late.told, `a answered ${status} content-length 5 | a end ""`, `${what}, ended by DATA`);
    const split = await answered([headers(1, [':status', status]), data(1, 'HTTP/1.1 200 OK', { end: true })], {
      method,
    });
    t.match(split.told, /a broke off after "": .*more DATA/, `${what} with a body would be read as the next answer`);
    t.match(split.sent, /RST_STREAM 1 PROTOCOL_ERROR/, what);
  }
});
