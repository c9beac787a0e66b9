import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { spiffeBundleText } from '#policy/trust/spiffe-bundle.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { readFederatedFiles } from '#sidecar/standalone/federated-files.ts';
import { eventually } from '../../control-plane/control-plane-fixture.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { freePorts } from '../../support/free-ports.ts';
import { StandaloneMesh } from './two-meshes.ts';

const OWN = 'cluster.local';
const PARTNER = 'partner.example';
const GOOD = '200 from the app';
const PATIENCE_MS = 20_000;

const jwkSet = (...authorities: TestAuthority[]) =>
  spiffeBundleText(
    authorities.flatMap(({ rootPem }) => certificatesFromPem(rootPem)),
    1,
    300,
  );

/** A caller of partner.example before a service of cluster.local. */
async function startMeshes(t: Test) {
  const directory = t.testdir();
  const callee = new StandaloneMesh(directory, OWN, 'orders');
  const caller = new StandaloneMesh(directory, PARTNER, 'web');
  const app = createServer((_request, response) => response.end('from the app'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    app.close();
    app.closeAllConnections();
  });
  const [inbound = 0, outbound = 0] = await freePorts(2);
  await callee.renew();
  await caller.renew();
  await callee.write('partner.bundle', jwkSet(caller.authority));
  await caller.write('partner.bundle', callee.authority.rootPem);
  await callee.write(
    'policies/policies.yaml',
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: partner, namespace: test}
spec: {rules: [{from: [{source: {principals: [${PARTNER}/ns/test/sa/web]}}]}]}
`,
  );
  await caller.write(
    'policies/services.yaml',
    `apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: orders, namespace: test}
spec:
  hosts: [orders.cluster.local.example]
  endpoints: [{address: 127.0.0.1, port: ${inbound}, spiffeId: "${callee.spiffeId}"}]
`,
  );
  const { port } = app.address() as AddressInfo;
  await callee.start(t, PARTNER, `inbound: [{port: ${inbound}, app: "127.0.0.1:${port}"}]`);
  await caller.start(t, OWN, `outbound: {port: ${outbound}}`);
  return { callee, caller, outbound };
}

/** `fetch` sets Host itself. */
function askBy(outbound: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'orders.cluster.local.example' };
    request({ host: '127.0.0.1', port: outbound, headers, agent: false }, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
    })
      .on('error', reject)
      .end();
  });
}

t.test(
  'a caller of another trust domain is served as its principal, and proves the callee by that domain',
  async (t) => {
    const { outbound, callee } = await startMeshes(t);
    t.equal(await askBy(outbound), GOOD);
    const read = () => readFile(join(callee.directory, 'access.log'), 'utf8');
    await eventually('a line of the log', async () => (await read()).endsWith('\n'));
    const [line = ''] = (await read()).split('\n');
    t.match(JSON.parse(line), { source: `spiffe://${PARTNER}/ns/test/sa/web`, decision: 'allow' });
  },
);

t.test('no root of one domain vouches for the other', async (t) => {
  const { outbound, callee, caller } = await startMeshes(t);
  t.equal(await askBy(outbound), GOOD);
  // the caller's new certificate says partner.example, and is of the callee's own root
  const { cert, key } = callee.authority.leaf(caller.spiffeId);
  await caller.write('leaf.key', key);
  await caller.write('leaf.pem', cert);
  await callee.write('partner.bundle', jwkSet(new TestAuthority(PARTNER))); // ends the connection that is open
  await eventually('a refusal', async () => /^503 .*upstream/.test(await askBy(outbound)), PATIENCE_MS);
});

t.test('the root of the other domain is replaced under traffic, and no request fails', async (t) => {
  const { outbound, callee, caller } = await startMeshes(t);
  const answers = new Map<string, number>();
  let isOver = false;
  const traffic = (async () => {
    while (!isOver) {
      const answer = await askBy(outbound).catch((error: unknown) => String(error));
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  })();
  const served = async (count: number) => {
    const before = answers.get(GOOD) ?? 0;
    await eventually('requests that pass', () => (answers.get(GOOD) ?? 0) >= before + count, PATIENCE_MS);
  };
  const believed = (count: number) =>
    eventually(
      `${count} roots of the partner`,
      async () => (await callee.series('lateral_trusted_root_expiry', PARTNER)).length === count,
      PATIENCE_MS,
    );
  const former = caller.authority;
  const next = new TestAuthority(PARTNER);
  await served(10);
  await callee.write('partner.bundle', jwkSet(former, next));
  await believed(2);
  caller.authority = next;
  await caller.renew(`${former.rootPem}${next.rootPem}`);
  const renewals = async () => (await caller.series('lateral_certificate_renewals_total', '')).join();
  await eventually('the new certificate', async () => !/ 0$/.test(await renewals()), PATIENCE_MS);
  await served(10);
  await callee.write('partner.bundle', jwkSet(next));
  await believed(1);
  await served(10);
  isOver = true;
  await traffic;
  t.strictSame([...answers.keys()], [GOOD], JSON.stringify([...answers]));
});

t.test('of bundles from files, one that is broken keeps its roots, and the others go on', async (t) => {
  const [first, second] = [new TestAuthority('a.example'), new TestAuthority('b.example')];
  const directory = t.testdir({ a: first.rootPem, b: 'nothing of the kind' });
  const files = [
    { trustDomain: 'a.example', bundle: join(directory, 'a') },
    { trustDomain: 'b.example', bundle: join(directory, 'b') },
    { trustDomain: 'c.example', bundle: join(directory, 'c') },
  ];
  const before = [{ trustDomain: 'b.example', rootsPem: second.rootPem }];
  const problems: string[] = [];
  t.strictSame(await readFederatedFiles(files, before, (message) => problems.push(message)), [
    { trustDomain: 'a.example', rootsPem: first.rootPem },
    { trustDomain: 'b.example', rootsPem: second.rootPem },
  ]);
  t.match(problems.sort(), [
    /\/b: bundle of b\.example: neither a SPIFFE bundle/,
    /bundle of c\.example: there is no file/,
  ]);
});

t.test('the own domain, and one twice, are errors with their place', async (t) => {
  const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: a-1, namespace: test, serviceAccount: a}
standalone:
  policies: p
  certificate: c
  privateKey: k
  trustBundle: b
  federation:
  - {trustDomain: cluster.local, bundle: x}
  - {trustDomain: partner.example, bundle: x}
  - {trustDomain: partner.example, bundle: y}
outbound: {port: 15001}
`;
  const { value, problems } = readConfiguration({ path: 'a.yaml', text }, 'SidecarConfig', sidecarConfigurationSchema);
  t.equal(value, undefined);
  t.match(problems, [
    { line: 10, message: /cluster\.local is the own trust domain/ },
    { line: 12, message: /partner\.example is there twice/ },
  ]);
});
