import { join } from 'node:path';
import t from 'tap';
import { UsageError } from '#cli/command.ts';
import { checkCommand } from '#cli/commands/check.ts';

async function check(...args: readonly string[]) {
  let stdout = '';
  let stderr = '';
  const code = await checkCommand.run(args, { stdout: (text) => (stdout += text), stderr: (text) => (stderr += text) });
  return { code, stdout, stderr };
}

const SOUND =
  'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {rules: [{}]}\n';

t.test('a sound folder prints nothing and exits 0', async (t) => {
  const root = t.testdir({ 'a.yaml': SOUND });
  t.same(await check(root), { code: 0, stdout: '', stderr: 'no problems in 1 file (1 resource)\n' });
});

t.test('errors of all files are printed in order, and the exit code is 1', async (t) => {
  const root = t.testdir({
    'b.yaml': SOUND,
    'a.yaml': SOUND.replace('name: p', 'name: q').replace('rules', 'rulse'),
    'c.yaml': SOUND,
  });
  t.same(await check(root), {
    code: 1,
    stdout: [
      `${join(root, 'a.yaml')}:4:8: error unknown_field spec: unknown field rulse; did you mean rules?\n`,
      `${join(root, 'c.yaml')}:3:18: error duplicate_resource AuthorizationPolicy shop/p is already defined at ${join(root, 'b.yaml')}:1\n`,
    ].join(''),
    stderr: '2 errors, 0 warnings in 3 files (2 resources)\n',
  });
});

t.test('a condition that cannot be right is an error with its place', async (t) => {
  const rules = 'rules: [{condition: "jwt.tenant == reqest.path"}]';
  const text = SOUND.replace('security.istio.io/v1', 'lateral.dev/v1alpha1').replace('rules: [{}]', rules);
  const { code, stdout } = await check(t.testdir({ 'a.yaml': text }));
  t.equal(code, 1);
  t.match(
    stdout,
    /a\.yaml:4:28: error invalid_condition spec\.rules\[0\]\.condition: character \d+: unknown attribute/,
  );
});

t.test('warnings alone exit 0', async (t) => {
  const root = t.testdir({ 'a.yaml': SOUND.replace('spec: {', 'spec: {targetRefs: [{kind: Gateway, name: g}], ') });
  const { code, stdout } = await check(root);
  t.equal(code, 0);
  t.match(stdout, /^.*a\.yaml:4:8: warning invalid_value spec: a policy with targetRefs is ignored on sidecars; .*\n$/);
});

t.test('--json is one object', async (t) => {
  const root = t.testdir({ 'a.yaml': 'kind: x\n' });
  const { code, stdout } = await check(root, '--json');
  t.equal(code, 1);
  t.same(JSON.parse(stdout), {
    problems: [
      {
        file: join(root, 'a.yaml'),
        line: 1,
        column: 1,
        severity: 'error',
        code: 'missing_field',
        message: 'missing field apiVersion',
      },
    ],
    errors: 1,
    warnings: 0,
  });
});

t.test('a path that is not there is an error', async (t) => {
  const root = t.testdir({});
  const { code, stdout } = await check(join(root, 'none'));
  t.equal(code, 1);
  t.match(stdout, /none:1:1: error unreadable_file cannot be read: ENOENT/);
});

t.test('wrong usage is told apart', async (t) => {
  await t.rejects(check(), UsageError);
  await t.rejects(check('--jsn', '.'), UsageError);
});
