import t from 'tap';
import { type Condition, compileCondition, MAX_ELEMENTS } from '#policy/condition/compile-condition.ts';
import { parseSpiffeId } from '#policy/identity/spiffe-id.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';

const WEB = parseSpiffeId('spiffe://cluster.local/ns/shop/sa/web');

const REQUEST: AuthorizationRequest = {
  source: WEB.kind === 'valid' ? WEB.id : null,
  method: 'GET',
  path: '/tenants/t1/orders',
  host: 'orders.shop:8080',
  headers: ['X-Team', 'a', 'x-team', 'b', 'x-empty', ''],
  port: 8080,
  sourceIp: '10.0.0.7',
  destinationIp: '10.0.0.9',
  query: 'limit=10&q=a%20b&twice=1&twice=2',
  remoteIp: '10.0.0.7',
  sni: undefined,
  claims: {
    principal: 'https://issuer.example/joe',
    audiences: [],
    presenter: undefined,
    all: { tenant: 't1', groups: ['admin', 'dev'], level: 3, nested: { deep: true }, many: [...Array(101).keys()] },
  },
};

function compiled(text: string): Condition {
  const result = compileCondition(text);
  if (result.kind === 'invalid') throw new Error(`${text}: ${result.message}`);
  return result.condition;
}

const judge = (text: string, request = REQUEST) => compiled(text).judge(request);

t.test('what is true of a request, and what is not', async (t) => {
  const table: readonly (readonly [text: string, expected: boolean])[] = [
    ["jwt.tenant == request.path.split('/')[2]", true],
    ["jwt.tenant == request.path.split('/')[1]", false],
    ["source.principal == 'cluster.local/ns/shop/sa/web'", true],
    ["source.namespace == 'shop' && source.serviceAccount != 'web'", false],
    ["request.method in ['GET', 'HEAD']", true],
    ["request.headers['x-team'] == 'a,b'", true],
    ["'x-empty' in request.headers && request.headers['x-empty'] == ''", true],
    ['has(request.headers.absent)', false],
    ["'absent' in request.headers", false],
    ["request.query.limit == '10' && request.query['q'] == 'a b'", true],
    ['int(request.query.limit) <= 10', true],
    ['destination.port == 8080', true],
    ['jwt.level >= 3 && jwt.level < 4', true],
    ["jwt.groups.exists(group, group == 'dev')", true],
    ["jwt.groups.all(group, group.startsWith('a'))", false],
    ["'admin' in jwt.groups", true],
    ['jwt.nested.deep', true],
    ['has(jwt.nested.other)', false],
    ["has(jwt.scope) && jwt.scope == 'x'", false],
    ["request.path.matches('^/tenants/[a-z0-9]+/orders$')", true],
    ["request.host.lowerAscii().endsWith(':8080')", true],
    ["source.ip.startsWith('10.') ? true : false", true],
    ['size(jwt.groups) == 2', true],
    ["!('x' in jwt.groups)", true],
  ];
  for (const [text, expected] of table) t.equal(judge(text), expected, text);
});

t.test('an error names no value of the request', async (t) => {
  const secret = 'tok-3f9a1c';
  const all = { secret, list: ['a'], map: { b: 1 } };
  const claims = { principal: '', audiences: [], presenter: undefined, all };
  const asked = { ...REQUEST, query: `q=${secret}`, headers: ['authorization', `Bearer ${secret}`], claims };
  const texts = [
    ...["int(request.headers['authorization']) > 0", "uint(request.headers['authorization']) > 0u"],
    ...["bool(request.headers['authorization'])", "{'a': 1}[request.query['q']] == 1", 'jwt.map[jwt.secret] == 1'],
    ...["timestamp(jwt.secret) > timestamp('2020-01-01T00:00:00Z')", "duration(jwt.secret) > duration('1s')"],
    ...[
      "jwt.list[int(jwt.secret)] == 'a'",
      'jwt.list[size(jwt.secret)] == "a"',
      '{jwt.secret: 1, jwt.secret: 2}.a == 1',
    ],
  ];
  for (const text of texts) {
    const verdict = judge(text, asked);
    t.match(verdict, { error: /./ }, text);
    t.notMatch(JSON.stringify(verdict), /tok|3f9a|Bearer|\b10\b/, text);
  }
  t.strictSame(
    judge('jwt.map.absent == 1', asked),
    { error: 'field not found: absent' },
    'what the condition says is told',
  );
});

t.test('what cannot be said is an error, and never true or false', async (t) => {
  const without = { ...REQUEST, claims: undefined };
  const table: readonly (readonly [text: string, request: AuthorizationRequest, error: RegExp])[] = [
    ["jwt.tenant == 't1'", without, /tenant/],
    ["!(jwt.tenant == 't1')", without, /tenant/],
    ["request.headers['absent'] != 'x'", REQUEST, /absent/],
    ["request.query.twice == '1'", REQUEST, /twice is there more than once/],
    ["request.path.split('/')[9] == 'x'", REQUEST, /index|bounds/i],
    ['jwt.many.exists(one, one == 7)', REQUEST, new RegExp(`more than ${MAX_ELEMENTS} elements`)],
    ['int(request.path) == 1', REQUEST, /./],
    ['jwt.tenant > 3', REQUEST, /./],
    ['jwt.tenant', REQUEST, /neither true nor false/],
    ["request.path.split('')[0] == '/'", { ...REQUEST, path: `/${'a'.repeat(200)}` }, /more than 100 parts/],
  ];
  for (const [text, request, error] of table) t.match(judge(text, request), { error }, text);
});

t.test('a condition that cannot be right is refused when it is loaded, and where', async (t) => {
  const deep = `${'('.repeat(40)}true${')'.repeat(40)}`;
  const table: readonly (readonly [text: string, message: RegExp, offset: number])[] = [
    ['jwt.a ==', /expecting end of input/, 6],
    ['request.path == 3', /== does not take string and int/, 13],
    ["reqest.path == 'a'", /unknown attribute reqest.path; did you mean request.path\?/, 0],
    ["request.pth == 'a'", /did you mean request.path/, 7],
    ['request.path', /true or false, and this is string/, 7],
    ["request.path.beginsWith('a')", /unknown function beginsWith/, 0],
    ["startsWith(request.path, 'a')", /written x.startsWith/, 0],
    ["request.headers[request.path] == 'a'", /in quotes/, 0],
    ["request.headers['X-Team'] == 'a'", /lower case: x-team/, 0],
    ['size(jwt) > 0', /name the member: jwt.NAME/, 0],
    ["request.path.matches('(')", /no regular expression of RE2/, 0],
    ['request.path.matches(request.method)', /in quotes/, 0],
    ['request.path && true', /&& does not take string and bool/, 0],
    ['[1].all(a, [1].all(b, [1].all(c, true)))', /nested more than 2 deep/, 0],
    [deep, /nested more than 32 deep/, 32],
    [`'${'a'.repeat(2_100)}' == 'a'`, /exceeds the limit of 2048/, 2_048],
    ["google.protobuf.Duration{seconds: 1} == duration('1s')", /messages such as|unknown attribute/, 0],
    ['source.port == 1', /unknown attribute source.port/, 0],
  ];
  for (const [text, message, offset] of table) {
    const result = compileCondition(text);
    t.match(result, { kind: 'invalid', message }, text.slice(0, 60));
    if (offset !== 0 && result.kind === 'invalid')
      t.equal(result.offset, offset, `${text.slice(0, 60)}: ${result.offset}`);
  }
});

t.test('what a condition reads is known', async (t) => {
  const { reads } = compiled(
    "jwt.tenant == request.headers['x-tenant'] && request.query.a == jwt['b'] && source.ip != ''",
  );
  t.same([...reads.claims], ['tenant', 'b']);
  t.same([...reads.headers], ['x-tenant']);
  t.same([...reads.queryParameters], ['a']);
  t.same([...reads.attributes].sort(), ['jwt', 'request.headers', 'request.query', 'source.ip']);
});
