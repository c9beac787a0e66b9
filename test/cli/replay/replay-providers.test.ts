import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ALLOWED, allowed, denied, startGrpcProvider } from '../../support/grpc-provider.ts';
import { readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';
import { defaults, line, policy, refused, replay, runReplay } from './replay-lines.ts';

const PROVIDERS = (more = '') =>
  defaults(`{extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: 127.0.0.1, port: 1${more}}}]}`);
const ASK = policy(
  'ask',
  '{action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: ["/orders/*"]}}]}]}',
);
const READS = policy('reads', '{rules: [{to: [{operation: {methods: [GET]}}]}]}');
const ALLOWED_BY = { providers: 'opa: allowed, grpc 0' };
const AT_CONSULT = { stages: { accept: 0.1, identify: 0.1, route: 0.1, consult: 0.1 } };
const DENIED = refused({
  ...{ code: 'authorization_provider_denied', providers: 'opa: denied, grpc 7, HTTP 403', policy: 'shop/ask', rule: 0 },
  ...AT_CONSULT,
});

/** The counts of a replay of one line. */
async function counted(t: Test, text: string, policies: readonly string[]) {
  const { report } = await replay(t, [text], policies);
  const { same, newlyRefused, newlyAllowed, otherRule, undecidable, passedOver } = report;
  const counts = {
    same,
    newlyRefused,
    newlyAllowed,
    otherRule,
    undecidable,
    passedOver: Object.keys(passedOver).length,
  };
  const kind = Object.entries(counts).find(([, count]) => count > 0)?.[0];
  return { kind, missing: report.missing.map(({ input }) => input), after: report.differences[0]?.after };
}

t.test('a CUSTOM policy leaves in doubt only what its provider would be asked about', async (t) => {
  const policies = [PROVIDERS(), ASK, READS];
  t.match(await counted(t, line({ path: '/other' }), policies), { kind: 'same' });
  t.match(await counted(t, line(), policies), { kind: 'undecidable', missing: ['answer of provider opa'] });
  t.match(
    await counted(t, line({ method: 'PUT' }), policies),
    { kind: 'newlyRefused', after: 'deny authorization_not_allowed' },
    'whatever it says, the rules refuse',
  );
  const elsewhere = policy(
    'elsewhere',
    '{selector: {matchLabels: {app: carts}}, action: CUSTOM, provider: {name: opa}, rules: [{}]}',
  );
  t.match(await counted(t, line(), [PROVIDERS(), elsewhere, READS]), { kind: 'same' }, 'another workload’s');
});

t.test('what a provider said when it was asked is taken as it was', async (t) => {
  const policies = [PROVIDERS(), ASK, READS];
  t.match(await counted(t, line(ALLOWED_BY), policies), { kind: 'same' });
  t.match(await counted(t, line({ ...ALLOWED_BY, method: 'PUT' }), policies), { kind: 'newlyRefused' });
  t.match(await counted(t, DENIED, policies), { kind: 'same' });
  const audit = {
    providers: 'opa: denied, grpc 7, HTTP 403',
    decision: 'audit',
    code: 'authorization_provider_denied',
  };
  t.match(await counted(t, line(audit), policies), {
    ...{ kind: 'newlyRefused', after: 'deny authorization_provider_denied' },
  });
  const failed = line({ providers: 'opa: failed, let pass: no whole answer within timeout 600 ms' });
  t.match(await counted(t, failed, policies), {
    kind: 'newlyRefused',
    after: 'deny authorization_provider_unavailable',
  });
  t.match(await counted(t, failed, [PROVIDERS(', failOpen: true'), ASK, READS]), { kind: 'same' });
  const another = [PROVIDERS().replace('opa', 'op'), ASK.replace('opa', 'op'), READS];
  t.match(await counted(t, line(ALLOWED_BY), another), { kind: 'undecidable' }, 'of another name');
});

t.test('a provider that is asked no more refuses nobody', async (t) => {
  t.match(await counted(t, DENIED, [PROVIDERS(), READS]), { kind: 'newlyAllowed', after: 'allow' });
  t.match(await counted(t, line(ALLOWED_BY), [READS]), { kind: 'same' });
  const byHeader = policy('reads', '{rules: [{when: [{key: "request.headers[x-user]", values: [ann]}]}]}');
  const recorded = line(ALLOWED_BY, { headers: { 'x-user': 'ann' } });
  t.match(await counted(t, recorded, [PROVIDERS(), ASK, byHeader]), { kind: 'same' }, 'as the provider left it');
  t.match(await counted(t, recorded, [byHeader]), {
    ...{ kind: 'undecidable', missing: ['the request as it was before provider opa'] },
  });
  const askedByHeader = ASK.replace('rules: [{', 'rules: [{when: [{key: "request.headers[x-user]", values: [ann]}], ');
  t.match(await counted(t, recorded, [PROVIDERS(), askedByHeader, READS]), { kind: 'same' }, 'asked or not');
});

t.test('the log of a sidecar that asks a provider is decided as it was', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('reached'));
  const provider = await startGrpcProvider(t);
  const policies = `apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: 127.0.0.1, port: ${provider.port}}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec: {action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: ["/asked*"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: users, namespace: test}
spec:
  rules:
  - to: [{operation: {paths: [/open]}}]
  - when: [{key: "request.headers[x-user]", values: [ann]}]
`;
  const sidecar = await startInbound(t, app.port, 'http', policies);
  provider.answer = ({ attributes }) => {
    const path = attributes?.request?.http?.path;
    if (path === '/asked/denied') return denied(403);
    return path === '/asked/ann' ? allowed({ 'x-user': 'ann' }) : path === '/asked/away' ? new Error('away') : ALLOWED;
  };
  const statuses: string[] = [];
  for (const path of ['/open', '/asked/ann', '/asked/nobody', '/asked/denied', '/asked/away', '/closed']) {
    const caller = await sidecar.connectTls('client');
    caller.write(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    statuses.push((await readAll(caller)).split(' ')[1] ?? '');
  }
  t.strictSame(statuses, ['200', '200', '403', '403', '403', '403']);
  await sidecar.log(statuses.length);
  const log = join(sidecar.directory, 'server.log');
  const folder = join(sidecar.directory, 'policies');
  const again = await runReplay('--log', log, '--policies', folder, '--json');
  t.match(again.report, { lines: 6, same: 6, undecidable: 0, differences: [] });
  await writeFile(join(folder, 'policies.yaml'), policies.replace('"/asked*"', '"/elsewhere*"'));
  const without = await runReplay('--log', log, '--policies', folder, '--json');
  t.match(
    without.report,
    { same: 2, otherRule: 2, undecidable: 2 },
    'what was there before the provider set it is not known',
  );
});
