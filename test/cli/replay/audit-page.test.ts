import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { replayCommand } from '#cli/commands/replay.ts';
import { loadResources } from '#policy/load-resources.ts';
import { MAX_BUFFERED_DECISIONS } from '#sidecar/control/decision-tally.ts';
import { MAX_RING_DECISIONS } from '#sidecar/telemetry/decision-ring.ts';
import { LogInputs } from '#sidecar/telemetry/log-inputs.ts';
import { runReplay } from './replay-lines.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const page = await readFile(`${root}/docs/audit-before-enforcement.md`, 'utf8');
const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

t.test('the policies of the page are sound, and on trial', async (t) => {
  const texts = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text);
  t.equal(texts.length, 2);
  const files = [{ path: 'a.yaml', text: texts.join('---\n') }];
  const { sourced, problems } = loadResources(files, () => undefined, MESH);
  t.strictSame(problems, []);
  t.match(
    sourced.map(({ any }) => any.resource),
    [{ isOnTrial: true }, { spec: { mode: 'Audit' } }],
  );
});

t.test('the command of the page prints what the page shows', async (t) => {
  const [, command = ''] = /^npx lateral replay (.*)$/m.exec(page) ?? [];
  const [, shown = ''] = /```text\n(.*?)```/s.exec(page) ?? [];
  const args = command.split(' ').map((word) => (word.startsWith('examples/') ? `${root}/${word}` : word));
  const { stdout, code } = await runReplay(...args);
  t.equal(stdout, shown);
  t.equal(code, 1);
});

t.test('fields of inputs, and bounds, are those of the code', async (t) => {
  const [, table = ''] = /`inputs` of a line of the access log:\n\n(.*?)\n\n/s.exec(page) ?? [];
  const named = [...table.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, names = '']) =>
    names.replaceAll('`', '').split(', '),
  );
  const inputs = new LogInputs(Buffer.alloc(32), { namespace: 'a', name: 'b', labels: {} }).of({
    headers: ['x-forwarded-for', '10.0.0.1'],
    claims: { principal: '', audiences: [], presenter: undefined, all: {} },
    policy: {
      referredHeaders: ['a'],
      referredClaims: [['a']],
      defaults: { trustedProxies: 1, pathNormalization: 'BASE' } as never,
    },
    caller: { address: '10.0.0.2', serverName: 'a' },
    destinationIp: '10.0.0.3',
  });
  t.strictSame(named.sort(), Object.keys(JSON.parse(inputs)).sort());
  t.match(page, `the last ${MAX_RING_DECISIONS} of a sidecar`);
  t.match(page, `${MAX_BUFFERED_DECISIONS.toLocaleString('en')} a report`);
});

t.test('every option that the help names is taken', async (t) => {
  const named = [...replayCommand.help.matchAll(/^ {2}--([a-z-]+)/gm)].map(([, name = '']) => name);
  t.strictSame(named.sort(), [
    'json',
    'label',
    'log',
    'policies',
    'root-namespace',
    'to',
    'trust-domain',
    'trust-domain-alias',
  ]);
  t.match(replayCommand.help, /\b16 MiB\b/);
});
