import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { UsageError } from '#cli/command.ts';
import { replayLog } from '#cli/replay/replay-log.ts';
import { MAX_DIFFERENCES, ReplayTally } from '#cli/replay/replay-tally.ts';
import { runLateral } from '../../support/run-lateral.ts';
import { line, policy, refused, replay, runReplay } from './replay-lines.ts';

const READS = policy('reads', '{rules: [{to: [{operation: {methods: [GET]}}]}]}');

t.test('differences are counted together by caller, request, decisions and policy', async (t) => {
  const noAdmin = policy('no-admin', '{action: DENY, rules: [{to: [{operation: {paths: ["/admin/{*}"]}}]}]}');
  const lines = [
    line({ path: '/admin/1', decisionId: '000000000000000a' }),
    line({ path: '/admin/2?page=2', decisionId: '000000000000000b' }),
    line({ path: '/admin/6f9619ff-8b86-d011-b42d-00c04fc964ff' }),
    line({ path: '/admin/list' }),
    line({ path: '/orders' }),
    refused({ path: '/orders', method: 'GET', source: null }),
    line({ direction: 'outbound' }),
    '{"event":"ready"}',
  ];
  const { report, code } = await replay(t, lines, [READS, noAdmin]);
  t.equal(code, 1);
  t.match(report, {
    ...{ lines: 8, same: 1, newlyRefused: 4, newlyAllowed: 1, otherRule: 0, undecidable: 0 },
    passedOver: { outbound: 1, foreign: 1 },
    furtherDifferences: 0,
  });
  const by = { destination: 'spiffe://cluster.local/ns/shop/sa/orders', port: 8080, method: 'GET' };
  const toAdmin = {
    ...by,
    source: 'spiffe://cluster.local/ns/shop/sa/web',
    ...{ kind: 'newlyRefused', before: 'allow', after: 'deny authorization_denied' },
    ...{ policy: 'shop/no-admin', rule: 0, policyBefore: 'shop/reads', ruleBefore: 0 },
    reason: 'rule 0 of DENY policy shop/no-admin matched',
  };
  t.strictSame(report.differences, [
    { ...toAdmin, path: '/admin/{*}', count: 3, decisionId: '000000000000000a' },
    { ...toAdmin, path: '/admin/list', count: 1, decisionId: '00112233445566aa' },
    {
      ...by,
      ...{ source: null, path: '/orders', count: 1, kind: 'newlyAllowed' },
      ...{ before: 'deny authorization_not_allowed', after: 'allow', policy: 'shop/reads', rule: 0 },
      ...{ policyBefore: 'shop/reads', ruleBefore: 0, decisionId: '00112233445566aa' },
      reason: 'rule 0 of ALLOW policy shop/reads matched',
    },
  ]);
});

t.test('the text names counts, what is missing, and each difference', async (t) => {
  const byTeam = policy('by-team', '{rules: [{when: [{key: "request.headers[x-team]", values: [red]}]}]}');
  const root = t.testdir({
    'a.yaml': [READS, byTeam].join('---\n'),
    'access.jsonl': [line({ method: 'PUT', path: '/a\u001b[2J' }), refused(), '{"cut'].join('\n'),
  });
  const { stdout, code } = await runReplay('--log', join(root, 'access.jsonl'), '--policies', join(root, 'a.yaml'));
  t.equal(code, 1);
  t.match(stdout, /^newly allowed +1$/m);
  t.match(stdout, /^ +1 +header x-team, e\.g\. 00112233445566aa$/m);
  t.match(stdout, /^passed over +1\n +1 +the last line, cut off$/m);
  t.match(
    stdout,
    /^1 +shop\/web +shop\/orders:8080 +GET \/orders\/\{\*\} +deny authorization_not_allowed -> allow +shop\/reads rule 0 +00112233445566aa$/m,
  );
  t.notMatch(stdout, '\u001b');
});

t.test(
  'several logs, plain and gzip, of several members too; one that breaks off counts as far as it goes',
  async (t) => {
    const root = t.testdir({ 'a.yaml': READS });
    const many = Array.from({ length: 2_000 }, (_, index) => `${line({ path: `/a/${index}` })}\n`).join('');
    const packed = gzipSync(many);
    const { writeFile } = await import('node:fs/promises');
    await writeFile(join(root, 'plain'), many);
    await writeFile(join(root, 'two.gz'), Buffer.concat([packed, packed]));
    await writeFile(join(root, 'broken.gz'), packed.subarray(0, packed.length - 200));
    const of = (name: string) => runReplay('--log', join(root, name), '--policies', join(root, 'a.yaml'), '--json');
    t.match((await of('plain')).report, { lines: 2_000, same: 2_000 });
    t.match((await of('two.gz')).report, { lines: 4_000, same: 4_000 });
    const broken = await of('broken.gz');
    t.match(broken.report, { passedOver: { cut_off: Number } });
    t.ok(broken.report.same > 1_000 && broken.report.same < 2_000, `${broken.report.same} lines`);
    t.match(broken.stderr, /the gzip stream breaks off/);
    t.equal(broken.code, 0);
    const both = await runReplay(
      '--log',
      join(root, 'plain'),
      '--log',
      join(root, 'two.gz'),
      '--policies',
      root,
      '--json',
    );
    t.match(both.report, { lines: 6_000 });
  },
);

t.test('a line of 100 MB, in memory that does not grow with it', async (t) => {
  const root = t.testdir({ policies: { 'a.yaml': READS } });
  const log = join(root, 'access.jsonl');
  function* pieces() {
    yield `${line()}\n{"time":"`;
    for (let written = 0; written < 100; written++) yield 'a'.repeat(1_000_000);
    yield `"}\n${line()}\n`;
  }
  await pipeline(Readable.from(pieces()), createWriteStream(log));
  const args = ['replay', '--log', log, '--policies', join(root, 'policies'), '--json'];
  const { stdout, code } = await runLateral(t, args, { NODE_OPTIONS: '--max-old-space-size=64' });
  t.match(JSON.parse(stdout), { lines: 3, same: 2, passedOver: { too_long: 1 } });
  t.equal(code, 0);
});

t.test('a line that does not name its workload cannot be decided, unless somebody else does', async (t) => {
  const lines = [line({}, { workload: undefined }), line({}, { workload: { namespace: 'shop', name: 'a' } })];
  const selecting = READS.replace('rules', 'selector: {matchLabels: {app: orders}}, rules');
  const nobody = await replay(t, lines, [selecting]);
  t.match(nobody.report, { undecidable: 2, missing: [{ input: 'workload (--to, --label)', count: 2 }] });
  const somebody = await replay(t, lines, [selecting], '--to', 'shop/orders', '--label', 'app=orders');
  t.match(somebody.report, { undecidable: 0, same: 2 });
});

t.test('how far it got is told once a second', async (t) => {
  const file = join(t.testdir({ 'a.jsonl': '{}\n'.repeat(5_500) }), 'a.jsonl');
  let clock = 0;
  const nowMs = () => (clock += 400);
  let stderr = '';
  const io = { stdout: () => {}, stderr: (text: string) => (stderr += text) };
  const replayer = { compare: () => ({ kind: 'same' }) } as never;
  await replayLog(file, { replayer, tally: new ReplayTally(), namespace: undefined, nowMs }, io);
  t.strictSame(stderr.match(/\d+ lines/g), ['3000 lines']);
});

t.test('kinds of differences beyond what is kept are counted together', async (t) => {
  const lines = Array.from({ length: MAX_DIFFERENCES + 5 }, (_, index) => line({ method: 'PUT', path: `/x${index}` }));
  const { report } = await replay(t, [...lines, line({ method: 'PUT', path: '/x1' })], [READS]);
  t.match(report, { newlyRefused: MAX_DIFFERENCES + 6, furtherDifferences: 5 });
  t.equal(report.differences.length, MAX_DIFFERENCES);
  t.match(report.differences[0], { path: '/x1', count: 2 });
});

t.test('what is no access log, cannot be read, or is wrong usage, says so', async (t) => {
  const root = t.testdir({ 'a.yaml': READS, 'empty.jsonl': '', 'broken.yaml': 'kind: Nonsense' });
  const policies = ['--policies', join(root, 'a.yaml')];
  for (const log of ['empty.jsonl', 'a.yaml']) {
    const { code, stderr } = await runReplay('--log', join(root, log), ...policies);
    t.equal(code, 1);
    t.match(stderr, /none of this is a line of an access log/);
  }
  await t.rejects(runReplay('--log', join(root, 'absent'), ...policies), /ENOENT/);
  await t.rejects(runReplay('--log', root, ...policies), /EISDIR/);
  const broken = await runReplay('--log', join(root, 'empty.jsonl'), '--policies', join(root, 'broken.yaml'));
  t.equal(broken.code, 1);
  t.match(broken.stderr, /broken\.yaml:1:\d+: error/);
  for (const args of [
    policies,
    ['--log', 'a'],
    ['--log', 'a', ...policies, 'b'],
    ['--log', 'a', ...policies, '--label', 'a=b'],
  ]) {
    await t.rejects(runReplay(...args), UsageError);
  }
});
