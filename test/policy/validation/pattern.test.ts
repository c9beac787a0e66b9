import fc from 'fast-check';
import { RE2JS } from 're2js';
import t from 'tap';
import { translatePattern } from '#policy/validation/schema/ecma-pattern.ts';
import { compilePattern } from '#policy/validation/schema/pattern.ts';
import { renewWork, WorkExceeded } from '#policy/validation/schema/work-budget.ts';
import { codeOf, findings, openApi, validationOf } from './validation-of.ts';

t.beforeEach(() => renewWork());

t.test('means what ECMA-262 means', async (t) => {
  // RE2 and what is chosen are held against V8's own engine.
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
    const re2 = RE2JS.compile(translatePattern(pattern).re2);
    for (const text of texts) {
      if (direct.test(text) !== native.test(text)) disagreements.push(`${pattern} on ${JSON.stringify(text)}`);
      if (re2.test(text) !== native.test(text)) disagreements.push(`${pattern} by RE2 on ${JSON.stringify(text)}`);
    }
  }
  t.same(disagreements, []);
});

t.test('finds what ends a text with characters beyond the basic plane, which V8 does not', async (t) => {
  for (const pattern of ['[^a]$', '\\W$', '(?:x|[^a])$', '[^a]b?$']) {
    t.equal(compilePattern(pattern).test('😀'), true, pattern);
  }
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

t.test('what is decided by the characters that come next goes to the backtracking engine, nothing else', async (t) => {
  const simple = [
    ...['^[a-z]{1,63}$', '^\\d{6}$', '^.{0,5000}$', '^[a-f0-9]{128}$', '^ord-[0-9]+-x$', 'abc', '^[a-z]+-[a-z]+$'],
    ...['^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?(?:Z|[+-]\\d\\d:\\d\\d)$', '^[a-z0-9]+(?:-[a-z0-9]+)*$'],
    ...[
      '^(GET|PUT|POST|PATCH|DELETE)$',
      '^https?://[^/\\s]+(/|$)',
      '^(?:0|[1-9]\\d*)(?:\\.\\d+)?$',
      '^(http|https)://',
    ],
    ...[
      '^#(?:[0-9a-f]{3}){1}$',
      '^(?:\\d{1,3}\\.){3}\\d{1,3}$',
      '^(?:a|ab)*$',
      '^ssh-|^(?:sk)-',
      '^a|b',
      '^a$|^b+$',
      'a|b',
      '^(?<y>\\d{4})?$',
      '^(a{2,3}b){2,5}c$',
    ],
    ...[
      '^(?:[^"]|"")*$',
      '^[\\w.-]+@[\\w-]+\\.\\p{L}+$',
      '^\\s*\\S*$',
      '^[^\\n]*\\n$',
      '^$|^[A-Z]{2}$',
      '^x{2000}$|^y$',
    ],
  ];
  const other = [
    ...[
      '[a-z]+$',
      '^(a+)+$',
      '^a*a{100}b$',
      '^a?a?$',
      '^(a*)*$',
      '^(?:a|a)*$',
      'a{3}$',
      '^a|b$',
      '^(a?){20}$',
      '^(?:a?|b?)$',
    ],
    ...[
      '^(?:a|ab)(?:c|bcd)*d$',
      '^[^@]+@[^@]+\\.[^@]+$',
      '^(?:\\p{L}+|\\d+)*$',
      '^.*x.*$',
      '^(?:a{1,3}){2}$',
      '(?:a|b)*c',
      '^(?:a|^b*)*',
    ],
    ...['^(?:[^\\p{L}]+|[a-z]+)*$', `^${'(?:'.repeat(30)}a${')'.repeat(30)}$`, `^(?:${'ab|'.repeat(300)}b)$`],
  ];
  for (const pattern of simple) t.equal(translatePattern(pattern).isSimple, true, pattern);
  for (const pattern of other) t.equal(translatePattern(pattern).isSimple, false, pattern);
});

const PATTERNS = Number(process.env.LATERAL_PROPERTY_RUNS ?? 600);

/** Patterns over few characters, nested and repeated: most of them are ambiguous. */
function patterns(): fc.Arbitrary<string> {
  const { pattern } = fc.letrec<{ branch: string; part: string; pattern: string }>((tie) => ({
    part: fc
      .tuple(
        fc.oneof(
          { depthSize: 'small', withCrossShrink: true },
          fc.constantFrom(
            'a',
            'b',
            '-',
            '[ab]',
            '[^a]',
            '\\w',
            '\\W',
            '[a-c-]',
            '.',
            '\\b',
            '$',
            '\\p{L}',
            '[^\\p{L}]',
            '😀',
          ),
          fc.array(tie('branch'), { minLength: 1, maxLength: 3 }).map((all) => `(?:${all.join('|')})`),
        ),
        fc.constantFrom('', '', '', '', '*', '+', '?', '{2}', '{1,3}', '{2,}', '*?', '+?'),
      )
      .map(([one, quantifier]) => (['\\b', '$'].includes(one) ? one : one + quantifier)),
    branch: fc.array(tie('part'), { maxLength: 4 }).map((parts) => parts.join('')),
    pattern: fc
      .tuple(fc.constantFrom('^', '^', '^', ''), tie('branch'), fc.constantFrom('$', '$', ''))
      .map((parts) => parts.join('')),
  }));
  return pattern;
}

/** The time, in ms, of the slowest text for its length that repeats up to three characters; the search ends where one is slow. */
function slowest(pattern: RegExp, limitMs: number): number {
  const letters = ['a', 'b', '-', '😀'];
  const pairs = letters.flatMap((one) => letters.map((two) => one + two));
  const pumps = [...letters, ...pairs, ...pairs.flatMap((two) => [`${two}a`, `${two}-`])];
  let worst = 0;
  // What is exponential shows with 24 characters, what is quadratic with 20,000.
  for (const length of [24, 400, 20_000]) {
    for (const pump of pumps) {
      for (const end of ['', '!']) {
        const text = pump.repeat(length / pump.length) + end;
        const startedAt = performance.now();
        pattern.test(text);
        worst = Math.max(worst, performance.now() - startedAt);
        if (worst > limitMs) return worst;
      }
    }
  }
  return worst;
}

t.test('patterns of the backtracking engine judge as RE2 does, and no text takes them long', async (t) => {
  // What must be found, so that the test can fail.
  for (const bad of ['^(a*)*$', '^(?:a|a)*$', '^(?:a|ab)*b*a*$', '^\\w*\\w*$']) {
    t.ok(slowest(new RegExp(bad, 'u'), 20) > 20, bad);
  }
  let seen = 0;
  const words = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '-', '!', '😀', '\n', 'é'), maxLength: 12 });
  fc.assert(
    fc.property(patterns(), fc.array(words, { minLength: 20, maxLength: 20 }), (pattern, texts) => {
      const { re2, isSimple } = translatePattern(pattern);
      if (!isSimple) return;
      seen++;
      const native = new RegExp(pattern, 'u');
      const other = RE2JS.compile(re2);
      for (const text of texts) {
        if (native.test(text) !== other.test(text)) throw new Error(`${pattern} on ${JSON.stringify(text)}`);
      }
      const tookMs = slowest(native, 20);
      if (tookMs > 20 && slowest(native, 20) > 20) throw new Error(`${pattern} takes ${tookMs} ms`);
    }),
    { numRuns: PATTERNS, seed: 20_264 },
  );
  t.ok(seen > PATTERNS / 5, `${seen} patterns`);
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
  const wide = compilePattern('^(?:\\p{L}{1,500}){2}$');
  t.throws(() => wide.test('é'.repeat(1_000_000)), WorkExceeded);
});
