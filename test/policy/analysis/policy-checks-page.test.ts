import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ANALYSIS_CODES } from '#policy/analysis/analysis-code.ts';
import { MAX_ALIKE_RULES } from '#policy/analysis/count-alike-rules.ts';
import { MAX_COMPARED_RULES } from '#policy/analysis/placed-rules.ts';
import { MAX_CANDIDATES } from '#policy/analysis/policy-scopes.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const page = readFileSync(join(root, 'docs/policy-checks.md'), 'utf8');
const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

function problemsOf(text: string): readonly string[] {
  return loadResources([{ path: 'policies.yaml', text }], () => undefined, MESH).problems.map(formatProblem);
}

const sections = page.split(/^## /m).slice(1);

t.test('every code has its section or its row, and no other has', (t) => {
  const named = sections.flatMap((section) => {
    const title = section.slice(0, section.indexOf('\n'));
    return /^[a-z_]+$/.test(title)
      ? [title]
      : [...section.matchAll(/^\| `([a-z_]+)`/gm)].map((match) => match[1] ?? '');
  });
  // one that the fields themselves raise
  t.strictSame(named.sort(), [...ANALYSIS_CODES, 'suspicious_value'].sort());
  t.match(page, `${MAX_ALIKE_RULES} rules or more`);
  t.match(page, `more than ${MAX_COMPARED_RULES.toLocaleString('en')} DENY rules`);
  t.match(page, `more than ${MAX_CANDIDATES} whose`);
  t.end();
});

for (const section of sections) {
  const title = section.slice(0, section.indexOf('\n'));
  if (!/^[a-z_]+$/.test(title)) continue;
  t.test(`the examples of ${title} are what they are said to be`, (t) => {
    const [bad = '', good = ''] = [...section.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1] ?? '');
    const wanted = /```text\n(.*?)\n```/s.exec(section)?.[1] ?? '';
    t.match(wanted, ` ${title} `);
    t.strictSame(problemsOf(bad), [wanted.replace(': error ', ': warning ')]);
    t.not(good, '');
    t.strictSame(problemsOf(good), []);
    t.end();
  });
}

t.test('one of them is an error to `lateral check`, and to nothing that puts policies in force', (t) => {
  const section = sections.find((one) => one.startsWith('http_field_on_tcp_port')) ?? '';
  const file = join(t.testdir(), 'policies.yaml');
  writeFileSync(file, /```yaml\n(.*?)```/s.exec(section)?.[1] ?? '');
  const args = [join(root, 'bin/lateral.mjs'), 'check', file];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  t.match(stdout, /policies\.yaml:6:49: error http_field_on_tcp_port /);
  t.equal(status, 1);
  t.end();
});

t.test('many rules that differ by negations alone are told, and one less is not', (t) => {
  const policy = (count: number) =>
    JSON.stringify({
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'orders', namespace: 'shop' },
      spec: {
        rules: Array.from({ length: count }, (_, index) => ({
          to: [{ operation: { methods: ['GET'], notPaths: [`/${index}`] } }],
        })),
      },
    });
  t.match(problemsOf(policy(MAX_ALIKE_RULES)), [/ warning alike_rules 256 rules differ/]);
  t.strictSame(problemsOf(policy(MAX_ALIKE_RULES - 1)), []);
  t.end();
});
