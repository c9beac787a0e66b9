import { createServer } from 'node:http';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import type { ControlPlaneConfiguration } from '#control-plane/configuration.ts';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { sidecarConfigurationSchema } from '#sidecar/configuration/sidecar-configuration.ts';
import { runSidecar } from '#sidecar/run-sidecar.ts';
import { TestAuthority, type TestLeaf } from '../../support/certificates.ts';
import { freePorts } from '../../support/free-ports.ts';
import { ControlPlaneFixture, eventually } from '../control-plane-fixture.ts';
import { PARTNER, PARTNER_SERVER, PartnerEndpoint } from './partner-endpoint.ts';

const SOON = { shortestMs: 50, longestMs: 50, defaultMs: 50, backoff: { firstMs: 50, longestMs: 50 } };
const PATIENCE_MS = 20_000;
const CALLER = `spiffe://${PARTNER}/ns/sales/sa/web`;

class FederatedFixture extends ControlPlaneFixture {
  federation: NonNullable<ControlPlaneConfiguration['federation']> = [];

  override get configuration(): ControlPlaneConfiguration {
    return { ...super.configuration, federation: this.federation };
  }
}

/** A mesh that federates with `partner`, and in it a sidecar before an app that lets the caller in. */
async function startMesh(t: Test, partner: PartnerEndpoint) {
  const fixture = new FederatedFixture(t.testdir());
  const bundle = { kind: 'inline', value: partner.authority.rootPem } as const;
  const proof = { profile: 'https_spiffe', spiffeId: PARTNER_SERVER, trustDomain: PARTNER } as const;
  fixture.federation = [{ trustDomain: PARTNER, bundle, endpoint: { ...proof, url: partner.url } }];
  await fixture.writePolicy(
    'partner.yaml',
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: partner, namespace: shop}
spec: {rules: [{from: [{source: {principals: [${CALLER.slice('spiffe://'.length)}]}}]}]}
`,
  );
  await fixture.start({ federationLimits: SOON });
  t.teardown(() => fixture.stop());
  const app = createServer((_request, response) => response.end('from the app'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    app.close();
    app.closeAllConnections();
  });
  const [inbound = 0, admin = 0, metrics = 0] = await freePorts(3);
  const text = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: orders-1, namespace: shop, serviceAccount: orders, labels: {app: orders}}
controlPlane: {address: "127.0.0.1:${fixture.port}", trustBundle: state/ca/root-cert.pem, tokenFile: ${await fixture.token()}}
inbound: [{port: ${inbound}, app: "127.0.0.1:${(app.address() as AddressInfo).port}"}]
admin: {port: ${admin}}
metrics: {port: ${metrics}}
telemetry: {accessLog: "off"}
`;
  const read = readConfiguration({ path: 'orders.yaml', text }, 'SidecarConfig', sidecarConfigurationSchema);
  if (read.value === undefined) throw new Error(JSON.stringify(read.problems));
  const running = await runSidecar(read.value, fixture.directory, () => {});
  t.teardown(() => running.stop());
  const believed = async () => {
    const printed = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
    return printed
      .split('\n')
      .filter((line) => line.startsWith('lateral_trusted_root_expiry') && line.includes(PARTNER)).length;
  };
  /** By a handshake of its own. */
  const ask = ({ cert, key }: TestLeaf) =>
    new Promise<string>((resolve) => {
      const options = { host: '127.0.0.1', port: inbound, cert, key, rejectUnauthorized: false, agent: false };
      request(options, (response) => {
        response.resume();
        response.on('end', () => resolve(String(response.statusCode)));
      })
        .on('error', (error) => resolve(error.message))
        .end();
    });
  return { fixture, believed, ask };
}

t.test(
  'a partner replaces its root: every handshake of its callers succeeds, and none by the old root afterwards',
  async (t) => {
    const partner = await PartnerEndpoint.start(t);
    const { believed, ask } = await startMesh(t, partner);
    const former = partner.authority;
    const next = new TestAuthority(PARTNER);
    let leaf = former.leaf(CALLER);
    let isOver = false;
    let count = 0;
    const answers = new Set<string>();
    const traffic = (async () => {
      while (!isOver) {
        answers.add(await ask(leaf));
        count += 1;
      }
    })();
    const handshakes = async (more: number) => {
      const until = count + more;
      await eventually(`${more} handshakes`, () => count >= until, PATIENCE_MS);
    };
    const roots = (...authorities: TestAuthority[]) =>
      authorities.flatMap(({ rootPem }) => certificatesFromPem(rootPem));

    await handshakes(10);
    partner.publish(roots(former, next), 2);
    await eventually('both roots are believed', async () => (await believed()) === 2, PATIENCE_MS);
    leaf = next.leaf(CALLER);
    partner.prove(next.leaf(PARTNER_SERVER));
    await handshakes(10);
    partner.publish(roots(next), 3);
    await eventually('the new root alone is believed', async () => (await believed()) === 1, PATIENCE_MS);
    await handshakes(10);
    isOver = true;
    await traffic;
    t.strictSame([...answers], ['200'], `${count} handshakes`);
    t.not(await ask(former.leaf(CALLER)), '200', 'the old root vouches for nobody');
  },
);

t.test('a domain that the mesh does not federate with is refused, whatever its name says', async (t) => {
  const partner = await PartnerEndpoint.start(t);
  const { ask, fixture } = await startMesh(t, partner);
  t.equal(await ask(partner.authority.leaf(CALLER)), '200');
  t.equal(await ask(partner.authority.leaf(`spiffe://${PARTNER}/ns/sales/sa/other`)), '403');
  t.match(await ask(partner.authority.leaf('spiffe://third.example/ns/sales/sa/web')), /socket|alert|ECONNRESET/i);
  t.match(await ask(partner.authority.leaf('spiffe://cluster.local/ns/shop/sa/orders')), /socket|alert|ECONNRESET/i);
  t.match(await ask(new TestAuthority(PARTNER).leaf(CALLER)), /socket|alert|ECONNRESET/i);
  t.ok(fixture.running);
});
