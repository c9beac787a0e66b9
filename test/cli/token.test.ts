import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { UsageError } from '#cli/command.ts';
import { tokenCommand } from '#cli/commands/token.ts';
import { openTokenStore } from '#control-plane/tokens/token-store.ts';

async function run(t: Test, args: readonly string[], text?: string) {
  const directory = t.testdirName;
  await mkdir(directory, { recursive: true });
  const config = join(directory, 'control-plane.yaml');
  const fields = text ?? 'source: {directory: p}\nauthority: {directory: ca}\ntokens: {directory: tokens}\n';
  await writeFile(config, `apiVersion: lateral.dev/v1alpha1\nkind: ControlPlaneConfig\n${fields}`);
  const printed = { stdout: '', stderr: '' };
  const io = {
    stdout: (chunk: string) => {
      printed.stdout += chunk;
    },
    stderr: (chunk: string) => {
      printed.stderr += chunk;
    },
  };
  const code = await tokenCommand.run(['--config', config, ...args], io);
  return { ...printed, code, tokens: join(directory, 'tokens') };
}

const ORDERS = ['--namespace', 'shop', '--service-account', 'orders'];

t.test('prints the token alone, good for an hour and one use', async (t) => {
  const { stdout, stderr, code, tokens } = await run(t, ORDERS);
  t.equal(code, 0);
  t.equal(stderr, '');
  t.match(stdout, /^lateral\.[0-9a-f]{32}\.[\w-]{43}\n$/);
  const store = await openTokenStore(tokens, Date.now);
  const verification = await store.verify(stdout);
  t.match(verification, { kind: 'valid', grant: { namespace: 'shop', serviceAccount: 'orders', isReusable: false } });
  const restMs = verification.kind === 'valid' ? verification.grant.expiresAtMs - Date.now() : 0;
  t.ok(Math.abs(restMs - 3_600_000) < 5_000);
});

t.test('--ttl and --reusable', async (t) => {
  const { stdout, tokens } = await run(t, [...ORDERS, '--ttl', '2d', '--reusable']);
  const verification = await (await openTokenStore(tokens, Date.now)).verify(stdout);
  t.match(verification, { kind: 'valid', grant: { isReusable: true } });
  const restMs = verification.kind === 'valid' ? verification.grant.expiresAtMs - Date.now() : 0;
  t.ok(Math.abs(restMs - 2 * 86_400_000) < 5_000);
});

t.test('--operator is good for operations only', async (t) => {
  const { stdout, tokens, code } = await run(t, ['--operator', '--ttl', '8h']);
  t.equal(code, 0);
  t.match(stdout, /^lateral\.[0-9a-f]{32}\.[\w-]{43}\n$/);
  const store = await openTokenStore(tokens, Date.now);
  const verification = await store.verifyOperator(stdout);
  const restMs = verification.kind === 'valid' ? verification.grant.expiresAtMs - Date.now() : 0;
  t.ok(Math.abs(restMs - 8 * 3_600_000) < 5_000);
  t.match(await store.verify(stdout), { kind: 'invalid', reason: /is an operator's token, which proves no workload/ });
  t.equal(await store.consume(stdout), false);
});

t.test('a join token is no operator token', async (t) => {
  const { stdout, tokens } = await run(t, ORDERS);
  const store = await openTokenStore(tokens, Date.now);
  t.match(await store.verifyOperator(stdout), { kind: 'invalid', reason: /is a workload's, not an operator's/ });
});

t.test('--list shows whose each is, until when and whether it was used, and never a secret', async (t) => {
  t.testdir(); // `run` takes it as it is
  t.match(await run(t, ['--list']), { code: 0, stdout: '', stderr: /no token that has not expired/ });
  const once = await run(t, ORDERS);
  const reusable = await run(t, ['--namespace', 'shop', '--service-account', 'web', '--ttl', '2h', '--reusable']);
  const operator = await run(t, ['--operator', '--ttl', '3h']);
  const issued = [once, reusable, operator].map(({ stdout }) => stdout.trim());
  const store = await openTokenStore(once.tokens, Date.now);
  for (const text of [...issued.slice(0, 2), ...issued.slice(1, 2)]) t.equal(await store.consume(text), true);
  const { stdout } = await run(t, ['--list']);
  const [header, ...lines] = stdout.trimEnd().split('\n');
  t.match(header, /^ID +FOR +EXPIRES +USES +USED$/);
  t.match(lines[0], /^[0-9a-f]{32} {2}shop\/orders +\S+Z {2}0 +20\S+Z$/);
  t.match(lines[1], /^[0-9a-f]{32} {2}shop\/web +\S+Z {2}any +20\S+Z$/);
  t.match(lines[2], /^[0-9a-f]{32} {2}operators +\S+Z {2}any +-$/);
  const facts = JSON.parse((await run(t, ['--list', '--json'])).stdout);
  t.match(facts, [
    { workload: 'shop/orders', isReusable: false, isRevoked: false, usesLeft: 0 },
    { workload: 'shop/web', isReusable: true, usesLeft: null },
    { workload: null, usedAt: null },
  ]);
  for (const text of issued) {
    const secret = text.split('.')[2] ?? '';
    t.notOk(stdout.includes(secret) || JSON.stringify(facts).includes(secret));
  }
});

t.test('--revoke takes an ID or the token; what is revoked stays in the list until it expires', async (t) => {
  t.testdir(); // `run` takes it as it is
  const { stdout: one, tokens } = await run(t, ORDERS);
  const { stdout: other } = await run(t, ['--operator']);
  const [, id = ''] = one.split('.');
  t.match(await run(t, ['--revoke', id]), { code: 0, stdout: '', stderr: `token ${id} is revoked\n` });
  t.match(await run(t, ['--revoke', other.trim()]), { code: 0, stderr: / is revoked\n$/ });
  t.match(await run(t, ['--revoke', id]), { code: 0 }, 'again, which changes nothing');
  const store = await openTokenStore(tokens, Date.now);
  t.match(await store.verify(one), { kind: 'invalid', code: 'token_revoked' });
  t.match(await store.verifyOperator(other), { kind: 'invalid', code: 'token_revoked' });
  const facts = JSON.parse((await run(t, ['--list', '--json'])).stdout);
  t.match(facts, [
    { isRevoked: true, usesLeft: 0 },
    { isRevoked: true, usesLeft: 0 },
  ]);
  await t.rejects(run(t, ['--revoke', '0'.repeat(32)]), /is unknown here, or has expired/);
});

t.test('wrong usage says what to change', async (t) => {
  const cases: [readonly string[], RegExp][] = [
    [['--namespace', 'shop'], /--service-account S is missing/],
    [['--service-account', 'a'], /--namespace N is missing/],
    [[...ORDERS, '--ttl', 'soon'], /--ttl soon is not a duration/],
    [[...ORDERS, '--ttl', '31d'], /outside of/],
    [[...ORDERS, '--operator'], /--operator takes none of --namespace/],
    [['--operator', '--reusable'], /--operator takes none of/],
    [[...ORDERS, '--frobnicate'], /frobnicate/],
    [[...ORDERS, '--list'], /--list and --revoke take no other option/],
    [['--list', '--revoke', 'a'], /--list and --revoke take no other option/],
    [[...ORDERS, '--json'], /--json is for --list/],
    [['--revoke', 'a'], /expected the ID of a token/],
    [['--namespace', 'a/b', '--service-account', 'c'], /make no identity/],
    [['--namespace', 'lateral-system', '--service-account', 'control-plane'], /own identity/],
  ];
  for (const [args, message] of cases) {
    const error = await run(t, args).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    t.ok(error instanceof UsageError, args.join(' '));
    t.match(error, { message });
  }
  t.notOk((await readdir(t.testdirName)).includes('tokens'));
});

t.test('a broken configuration is shown with its positions', async (t) => {
  const { code, stderr } = await run(t, ORDERS, 'sorce: {directory: p}\nauthority: {directory: ca}\n');
  t.equal(code, 1);
  t.match(stderr, /control-plane\.yaml:3:1: error unknown_field/);
});

t.test('without tokens.directory there is nowhere to put one', async (t) => {
  await t.rejects(
    run(t, ORDERS, 'source: {directory: p}\nauthority: {directory: ca}\n'),
    /has no tokens.directory; add it/,
  );
});
