import t from 'tap';
import { KEEP_HEADER_CASE } from '#sidecar/http/h2/settings.ts';
import { headers, request } from './frames.ts';
import { greetedClient, greetedServer, settled } from './session-runs.ts';

/** What comes of a request with these fields: how it is told, or the reason why it was reset. */
function read(fields: readonly string[], isCased = false): string {
  const run = greetedServer(...(isCased ? ([[KEEP_HEADER_CASE, 1]] as const) : []));
  run.receive(headers(1, fields, { end: true }));
  const sent = run.sent();
  const told = run.told().join(' | ');
  if (!told.startsWith('malformed: ')) return told;
  if (sent.join() !== 'RST_STREAM 1 PROTOCOL_ERROR' || run.requests.size > 0)
    throw new Error(`${told}, and yet ${sent.join()} with ${run.requests.size} requests`);
  return told;
}

const WHOLE = [':method', 'GET', ':scheme', 'http', ':authority', 'a', ':path', '/'];
const without = (name: string) => {
  const at = WHOLE.indexOf(name);
  return WHOLE.filter((_, index) => index !== at && index !== at + 1);
};
const withValue = (name: string, value: string) =>
  WHOLE.map((text, index) => (WHOLE[index - 1] === name ? value : text));

t.test('RFC 9113 §8.3.1: a request has each of its pseudo-header fields once, first, and known', async (t) => {
  for (const [title, fields] of [
    ['no :method', without(':method')],
    ['no :scheme', without(':scheme')],
    ['no :path', without(':path')],
    ['an empty :path', withValue(':path', '')],
    ['two :method', [':method', 'GET', ...WHOLE]],
    ['two :path', [':path', '/2', ...WHOLE]],
    ['two :authority', [...WHOLE, ':authority', 'a']],
    ['two :scheme', [...WHOLE, ':scheme', 'http']],
    [':status in a request', [...WHOLE, ':status', '200']],
    ['an unknown one', [...WHOLE, ':foo', 'x']],
    ['one with an upper-case letter', [...without(':path'), ':Path', '/']],
    ['a colon alone', [...WHOLE, ':', 'x']],
    ['one behind a field', [...without(':path'), 'a', 'b', ':path', '/']],
    ['no fields at all', []],
  ] as const) {
    t.match(read(fields), /^malformed: /, title);
    t.match(read(fields, true), /^malformed: /, `${title}, between Lateral sidecars`);
  }
});

t.test('nothing of a request line can be put into :method, :path, :scheme or :authority', async (t) => {
  for (const [name, values] of [
    [
      ':method',
      [
        '',
        'GET / HTTP/1.1\r\nhost: b\r\n\r\n',
        'GE T',
        'GET\n',
        'get',
        'GET\0',
        'G\x80T',
        'X'.repeat(33),
        'GET\t',
        ' GET',
        'GET ',
        'CONNECT',
      ],
    ],
    [
      ':path',
      [
        '/ HTTP/1.1\r\nx: y',
        '/a b',
        '/\t',
        '/\n',
        '/\r',
        '/\0',
        '/\x7f',
        'a',
        '//a b',
        '?a',
        'http://b/',
        ' /',
        '/ ',
        '**',
        '\\',
      ],
    ],
    [
      ':scheme',
      ['', 'ht tp', 'http\r\n', 'http://b/?', '1http', 'http ', '\0', 'http:', 'https://evil/x HTTP/1.1\r\n'],
    ],
    [':authority', ['a\r\nx: y', 'a\n', 'a\0', ' a', 'a ', '\ta', 'a\x7f']],
  ] as const) {
    for (const value of values) t.match(read(withValue(name, value)), /^malformed: /, JSON.stringify([name, value]));
  }
  t.equal(
    read(withValue(':path', '/\xc3\xa4?x=%20#')),
    '1 GET /\xc3\xa4?x=%20# host a',
    'what the next stage judges arrives as it is',
  );
  t.equal(read(withValue(':path', '*')), '1 GET * host a');
});

t.test('RFC 9113 §8.2.1: names and values that HTTP/1.1 would read as more than they are', async (t) => {
  for (const name of [
    'a b',
    'a:',
    'a:b',
    ':',
    '',
    'a\r',
    'a\n',
    'a\0',
    ' a',
    'a ',
    '\ta',
    'a\x7f',
    'a\x80',
    'a(',
    'a"',
    'a/',
    'a\r\nhost',
    'a,',
    'a=',
    'a[',
    'Aa',
    'X',
  ])
    t.match(read([...WHOLE, name, 'v']), /^malformed: /, `name ${JSON.stringify(name)}`);
  for (const value of [
    '\r',
    '\n',
    '\0',
    'a\r\nb: c',
    'a\nb',
    'a\rb',
    ' a',
    'a ',
    '\ta',
    'a\t',
    'a\x01',
    'a\x7f',
    '\x0b',
    'a\x1f',
  ])
    t.match(read([...WHOLE, 'x', value]), /^malformed: /, `value ${JSON.stringify(value)}`);
  t.equal(
    read([...WHOLE, 'x', 'a\tb c\x80\xff', 'y', '', "!#$%&'*+-.^_`|~09az", '"']),
    `1 GET / host a x a\tb c\x80\xff y  !#$%&'*+-.^_\`|~09az "`,
  );
});

t.test('RFC 9113 §8.2.2: fields of a connection, and those that can be taken for framing', async (t) => {
  for (const [name, value] of [
    ['connection', 'close'],
    ['connection', 'x-secret'],
    ['keep-alive', 'timeout=5'],
    ['proxy-connection', 'keep-alive'],
    ['transfer-encoding', 'chunked'],
    ['transfer-encoding', 'identity'],
    ['upgrade', 'h2c'],
    ['te', 'gzip'],
    ['te', 'trailers, gzip'],
    ['transfer_encoding', 'chunked'],
    ['content_length', '0'],
  ] as const) {
    t.match(read([...WHOLE, name, value]), /^malformed: /, `${name}: ${value}`);
    t.match(read([...WHOLE, name.toUpperCase(), value], true), /^malformed: /, `${name.toUpperCase()}: ${value}`);
  }
  t.equal(read([...WHOLE, 'te', 'trailers']), '1 GET / host a te trailers');
});

t.test('RFC 9110 §8.6: one content-length, of digits', async (t) => {
  for (const value of ['', '+0', '-0', '0 0', '0x0', '1e0', '0,0', '0.0', '9'.repeat(16), 'a', '\u00b2'])
    t.match(read([...WHOLE, 'content-length', value]), /^malformed: /, JSON.stringify(value));
  t.match(read([...WHOLE, 'content-length', '0', 'content-length', '0']), /^malformed: /, 'two that agree');
  t.match(
    read([...WHOLE, 'Content-Length', '0', 'content-length', '0'], true),
    /^malformed: /,
    'two that differ in case',
  );
  t.equal(read([...WHOLE, 'content-length', '00']), '1 GET / host a content-length 00');
});

t.test('names keep their case between Lateral sidecars only', async (t) => {
  t.match(read([...WHOLE, 'X-Case', 'v']), /^malformed: .*upper case/);
  t.equal(read([...WHOLE, 'X-Case', 'v'], true), '1 GET / host a X-Case v');
  t.equal(
    read([...without(':authority'), 'X-A', '1', 'Host', 'B', 'x-a', '2'], true),
    '1 GET / X-A 1 Host B x-a 2',
    'Host keeps its place',
  );

  const cased = greetedClient([KEEP_HEADER_CASE, 1]);
  cased.ask('a', { headers: ['X-First', '1', 'Host', 'Server.test', 'X-Last', '2'] });
  t.strictSame(cased.sent(), [
    'HEADERS 1 END_STREAM [:method: GET, :scheme: http, :path: /, X-First: 1, Host: Server.test, X-Last: 2]',
  ]);
  cased.receive(headers(1, [':status', '200', 'X-Case', 'v'], { end: true }));
  await settled();
  t.match(cased.told().join(), /^a answered 200 X-Case v/);

  const plain = greetedClient();
  plain.ask('a', { headers: ['X-First', '1', 'Host', 'Server.test', 'Connection', 'X-First', 'X-Last', '2'] });
  t.strictSame(
    plain.sent(),
    ['HEADERS 1 END_STREAM [:method: GET, :scheme: http, :authority: Server.test, :path: /, x-first: 1, x-last: 2]'],
    'any other peer gets lower case and :authority',
  );
  plain.receive(headers(1, [':status', '200', 'X-Case', 'v'], { end: true }));
  await settled();
  t.match(plain.told().join(), /^a failed: .*upper case/);
});

t.test('answers keep the case of their names where the caller does', async (t) => {
  for (const [isCased, name] of [
    [true, 'X-Case'],
    [false, 'x-case'],
  ] as const) {
    const run = greetedServer(...(isCased ? ([[KEEP_HEADER_CASE, 1]] as const) : []));
    run.receive(headers(1, request('GET', '/'), { end: true }));
    const body = run.request(1).respond({
      status: 200,
      reason: 'Fine',
      headers: ['X-Case', 'v', 'Connection', 'close', 'Transfer-Encoding', 'chunked'],
    });
    body.end(['X-Case', 't']);
    t.strictSame(run.sent(), [`HEADERS 1 [:status: 200, ${name}: v]`, `HEADERS 1 END_STREAM [${name}: t]`]);
  }
});

t.test('RFC 9113 §8.2.3: crumbs of cookies become one field, where the first stood', async (t) => {
  t.equal(
    read([...WHOLE, 'cookie', 'a=1', 'x', 'y', 'cookie', 'b=2', 'cookie', 'c=3']),
    '1 GET / host a cookie a=1; b=2; c=3 x y',
  );
  t.equal(read([...WHOLE, 'cookie', 'a=1', 'x', 'y']), '1 GET / host a cookie a=1 x y');
  t.equal(read([...WHOLE, 'Cookie', 'a=1', 'cookie', 'b=2'], true), '1 GET / host a Cookie a=1; b=2');
  t.equal(
    read([...without(':authority'), 'cookie', 'a=1', 'cookie', 'b=2', 'host', 'a']),
    '1 GET / cookie a=1; b=2 host a',
  );
});

t.test('RFC 9113 §8.3.1: :authority against host', async (t) => {
  t.equal(read([...WHOLE, 'host', 'a', 'x', 'y']), '1 GET / host a x y', 'two that agree are one');
  t.equal(read([...WHOLE, 'host', 'A', 'x', 'y', 'host', 'a']), '1 GET / host a x y', 'in any case');
  t.match(read([...WHOLE, 'host', 'b']), /^malformed: .*differ/);
  t.match(read([...WHOLE, 'host', 'a', 'host', 'b']), /^malformed: .*differ/);
  t.match(read([...WHOLE, 'host', '']), /^malformed: .*differ/);
  t.match(read([...WHOLE, 'Host', 'b'], true), /^malformed: .*differ/);
  t.equal(read([...without(':authority'), 'x', 'y', 'host', 'b']), '1 GET / x y host b', 'host alone will do');
  t.equal(read(without(':authority')), '1 GET / ', 'without either the next stage refuses');
});

t.test('RFC 8441: a WebSocket is an extended CONNECT, and nothing else is', async (t) => {
  const connect = [
    ':method',
    'CONNECT',
    ':protocol',
    'websocket',
    ':scheme',
    'https',
    ':path',
    '/chat',
    ':authority',
    'a',
  ];
  t.match(
    read([...connect, 'sec-websocket-version', '13']),
    /^1 UPGRADE GET \/chat host a sec-websocket-version 13 sec-websocket-key [\w+/]{22}==$/,
    'an app of HTTP/1.1 wants a key',
  );
  t.match(read([...connect, 'sec-websocket-key', 'k']), / host a sec-websocket-key k$/);
  t.match(read(connect.map((text) => (text === 'websocket' ? 'connect-udp' : text))), /^malformed: /);
  t.match(
    read([':method', 'GET', ':protocol', 'websocket', ':scheme', 'https', ':path', '/', ':authority', 'a']),
    /^malformed: .*without CONNECT/,
  );
  t.match(
    read([':method', 'CONNECT', ':authority', 'a:443']),
    /^malformed: CONNECT is not served/,
    '§8.5: a tunnel to anywhere',
  );
  t.match(read([...connect, ':protocol', 'websocket']), /^malformed: .*twice/);
});
