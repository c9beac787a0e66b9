import t from 'tap';
import { translatePattern } from '#policy/validation/schema/ecma-pattern.ts';
import { compilePattern } from '#policy/validation/schema/pattern.ts';
import { renewWork, WorkExceeded } from '#policy/validation/schema/work-budget.ts';
import { codeOf, findings, openApi, validationOf } from './validation-of.ts';

t.beforeEach(() => renewWork());

t.test('means what ECMA-262 means', async (t) => {
  // `(?:…)` around a pattern makes it go through RE2, so that both engines are held against V8's own.
  const patterns = [
    ...[
      '^[A-Z]{3}-\\d{4}$',
      '^[\\w.-]+@[\\w-]+\\.\\w+$',
      '\\s',
      '^\\S+$',
      '^.$',
      '^\\u0041$',
      '^\\p{Letter}+$',
      '^[^\\s]+$',
    ],
    ...['^(?<y>\\d{4})-(?<m>\\d\\d)$', '^[]$', '^[^]$', '^\\/x$', 'foo|bar', '^\\p{Script=Greek}+$', '^a|b$', '^\\cJ$'],
    ...[
      '^[\\b]$',
      '^\\ud83d\\ude00$',
      '^[^a]$',
      '^(a+)+$',
      '\\bfoo\\b',
      '^[\\S]$',
      '^[\\D\\s]$',
      '^\\u{1F600}$',
      '^x*?$',
      '^\\x41$',
    ],
    ...['^[a\\-z]$', '^[\\]\\[]$', '^a{2,}$', '^\\.\\*$', '^[&~|]$', '^\\0$', '^[\\d.]+$', '^a{2}b?$', '(?:a|b){2}c'],
  ];
  const texts = [
    ...[
      'ABC-1234',
      'a.b@c.de',
      'a\u00a0b',
      'ab',
      'a b',
      '😀',
      '\n',
      'A',
      'é',
      '1',
      '\u2028',
      '2024-01',
      'zz',
      '',
      '[',
      ']',
    ],
    ...[
      '/x',
      'xbarx',
      'α',
      'b',
      'J',
      '\b',
      'x',
      'a',
      'aaa',
      'aab',
      'a foo b',
      'afoo',
      '-',
      'z',
      'm',
      '.*',
      '&',
      '\0',
      '3.14',
    ],
    ...['\u3000', '\v', 'abc', 'aa', 'aa b'],
  ];
  const disagreements: string[] = [];
  for (const pattern of patterns) {
    const native = new RegExp(pattern, 'u');
    const direct = compilePattern(pattern);
    const grouped = compilePattern(`(?:${pattern})`);
    for (const text of texts) {
      if (direct.test(text) !== native.test(text)) disagreements.push(`${pattern} on ${JSON.stringify(text)}`);
      if (grouped.test(text) !== native.test(text)) disagreements.push(`(?:${pattern}) on ${JSON.stringify(text)}`);
    }
  }
  t.same(disagreements, []);
});

t.test('takes the laxer syntax without the u flag too', async (t) => {
  t.equal(compilePattern('^\\d{3}\\-\\d{2}$').test('123-45'), true);
  t.equal(compilePattern('^[\\w-.]+$').test('a-.'), true);
  t.equal(compilePattern('a{,3}').test('a{,3}'), true);
  t.equal(compilePattern('^\\@$').test('@'), true);
});

t.test('refuses what cannot be matched in linear time, and says so', async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['a(?=b)', /lookaround/],
    ['(?<!a)b', /lookaround/],
    ['(a)\\1', /backreference/],
    ['(?<x>a)\\k<x>', /backreference/],
    ['(', /Invalid regular expression/],
    ['(?:x{2000})', /repeat count/],
    ['x'.repeat(5_000), /longer than/],
  ];
  for (const [pattern, message] of cases) t.throws(() => compilePattern(pattern), message, pattern.slice(0, 30));
});

t.test('refuses what a pattern is asked of that cannot be enforced, and nothing else', async (t) => {
  const { validation, problems } = await validationOf(
    openApi(
      '3.1.0',
      `  /a:
    post:
      requestBody:
        content:
          application/json:
            schema:
              properties: {p: {pattern: "^(?!x)"}, n: {not: {pattern: "(?=x)"}}, e: {pattern: "(?=x)", unevaluatedItems: false}}
              additionalProperties: {type: integer}
`,
    ),
  );
  t.same(problems, []);
  t.equal(codeOf(validation, 'POST /a', { body: '{"other":1,"p":2}' }), 'allowed');
  t.equal(codeOf(validation, 'POST /a', { body: '{"other":"1"}' }), 'invalid_body');
  for (const name of ['p', 'n', 'e']) {
    const [found] = findings(validation, 'POST /a', { body: JSON.stringify({ [name]: 'a' }) });
    t.match(found, { code: 'invalid_body', reason: /cannot be enforced: has a lookaround/ }, name);
    t.match(found?.facts.details, [{ keyword: 'pattern' }]);
  }
});

t.test('takes and reports it where the policy says so, whatever stands around the pattern', async (t) => {
  const document = openApi(
    '3.1.0',
    `  /a:
    post:
      parameters: [{name: q, in: query, schema: {pattern: "^(?!x)"}}]
      requestBody:
        content:
          application/json:
            schema:
              properties: {p: {pattern: "^(?!x)", maxLength: 2}, n: {not: {pattern: "(?=x)"}}}
              additionalProperties: {type: integer}
`,
  );
  const { validation } = await validationOf(document, { request: { unenforceable: 'Report' } });
  for (const name of ['p', 'n']) {
    const found = findings(validation, 'POST /a', { body: JSON.stringify({ [name]: 'a' }) });
    t.match(found, [{ effect: 'audit', code: 'invalid_body', reason: /cannot be enforced/ }], name);
    t.equal(found.length, 1);
  }
  t.match(findings(validation, 'POST /a?q=1', { body: '{}' }), [{ effect: 'audit', code: 'invalid_parameter' }]);
  t.same(findings(validation, 'POST /a', { body: '{"other":1}' }), [], 'nothing is left over');
  for (const body of ['{"p":"long"}', '{"p":"a","other":"1"}']) {
    t.match(findings(validation, 'POST /a', { body }), [{ effect: 'refuse', code: 'invalid_body' }], body);
  }
});

t.test('only sequences with one repetition go to the backtracking engine', async (t) => {
  const simple = ['^[a-z]{1,63}$', '^\\d{6}$', '^.{0,5000}$', '^[a-f0-9]{128}$', '^ord-[0-9]+-x$', 'abc'];
  const other = ['[a-z]+$', '^[a-z]+-[a-z]+$', '^(a+)+$', '^a|b$', '^a*a{100}b$', '^a?a?$'];
  for (const pattern of simple) t.equal(translatePattern(pattern).isSimple, true, pattern);
  for (const pattern of other) t.equal(translatePattern(pattern).isSimple, false, pattern);
});

t.test('stays fast on texts made to make backtracking explode', async (t) => {
  const pattern = compilePattern('^(a+)+$');
  pattern.test('a');
  const text = `${'a'.repeat(50_000)}!`;
  const started = performance.now();
  t.equal(pattern.test(text), false);
  const elapsedMs = performance.now() - started;
  t.comment(`^(a+)+$ on 50 kB: ${elapsedMs.toFixed(2)} ms`);
  t.ok(elapsedMs < 100, `${elapsedMs} ms`);
});

t.test('gives up rather than stand still: a wide pattern on a long text', async (t) => {
  const wide = compilePattern('^(?:\\p{L}{1,1000})$');
  t.throws(() => wide.test('é'.repeat(1_000_000)), WorkExceeded);
});
