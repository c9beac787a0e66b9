import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { ControlPlaneConfiguration } from '#control-plane/configuration.ts';
import type { RefreshLimits } from '#control-plane/federation/keep-refreshed.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { runProgram, startProgram } from '../../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../../support/go-tools.ts';
import { ControlPlaneFixture, eventually, MESH } from '../control-plane-fixture.ts';
import { startTrustingSidecar } from './trusted-roots.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);
const PATIENCE_MS = 20_000;
const PARTNER = 'partner.example';
const PARTNER_SERVER = `spiffe://${PARTNER}/spire/server`;
const OWN_SERVER = `spiffe://${MESH.trustDomain}/ns/${MESH.rootNamespace}/sa/control-plane`;
const SOON: RefreshLimits = { shortestMs: 50, longestMs: 50, defaultMs: 50, backoff: { firstMs: 50, longestMs: 50 } };

class FederatedControlPlane extends ControlPlaneFixture {
  more: Pick<ControlPlaneConfiguration, 'federation' | 'bundleEndpoint'> = {};

  override get configuration(): ControlPlaneConfiguration {
    return { ...super.configuration, ...this.more };
  }

  async metrics(): Promise<string> {
    return (await this.status('/metrics')).text();
  }
}

const base64 = (pem: string) =>
  certificatesFromPem(pem)
    .toSorted(Buffer.compare)
    .map((der) => der.toString('base64'));

t.test('go-spiffe fetches the bundle of a mesh, from the identity of its control plane alone', async (t) => {
  const tools = await goTools(t, 'spiffeBundle');
  if (tools === undefined) return;
  const fixture = new FederatedControlPlane(t.testdir());
  fixture.more = { bundleEndpoint: { address: '127.0.0.1', port: 0 } };
  await fixture.writePolicy('none.yaml', '');
  const running = await fixture.start();
  t.teardown(() => fixture.stop());
  const roots = join(fixture.directory, 'roots.pem');
  await writeFile(roots, running.trustBundlePem);
  const fetchAs = async (id: string) => {
    const url = `https://127.0.0.1:${running.bundlePort}/bundle`;
    const { told, errors } = await runProgram(tools.spiffeBundle, ['fetch', '-url', url, '-id', id, '-roots', roots]);
    return told[0] ?? errors;
  };
  const first = await fetchAs(OWN_SERVER);
  t.match(first, { event: 'fetched', roots: base64(running.trustBundlePem), sequence: Number, hintS: 300 });
  t.match(await fetchAs(`spiffe://${MESH.trustDomain}/ns/shop/sa/web`), { error: /unexpected ID/ });
  t.match(await fixture.metrics(), /lateral_control_plane_bundle_requests_total 1\n/);

  await fixture.stop();
  const again = await fixture.start();
  const url = `https://127.0.0.1:${again.bundlePort}/`;
  const { told } = await runProgram(tools.spiffeBundle, ['fetch', '-url', url, '-id', OWN_SERVER, '-roots', roots]);
  t.strictSame(told[0], first, 'the same roots have the same number after a restart');
});

t.test(
  'a control plane follows the roots of a bundle endpoint of go-spiffe, through its outage and an own restart',
  async (t) => {
    const tools = await goTools(t, 'spiffeBundle');
    if (tools === undefined) return;
    const partner = await startProgram(t, tools.spiffeBundle, ['serve', '-id', PARTNER_SERVER]);
    const { roots: first, control } = await partner.told({ event: 'ready' });
    const tell = async (command: string) =>
      (await fetch(`http://127.0.0.1:${control}/${command}`, { method: 'POST' })).text();
    const fixture = new FederatedControlPlane(t.testdir());
    const url = `https://127.0.0.1:${partner.port}/`;
    const endpoint = { profile: 'https_spiffe', url, spiffeId: PARTNER_SERVER, trustDomain: PARTNER } as const;
    const bundle = { kind: 'inline', value: String(first) } as const;
    fixture.more = { federation: [{ trustDomain: PARTNER, bundle, endpoint }] };
    await fixture.writePolicy('none.yaml', '');
    await fixture.start({ federationLimits: SOON });
    t.teardown(() => fixture.stop());

    const sidecar = await startTrustingSidecar(t, fixture);
    const trusts = (pem: string) =>
      eventually(
        'a sidecar with these roots of the partner',
        () => JSON.stringify(sidecar.rootsOf(PARTNER)) === JSON.stringify(base64(pem)),
        PATIENCE_MS,
      );
    await trusts(String(first));
    const both = await tell('add');
    await trusts(both);
    await tell('use');
    const next = await tell('drop');
    await trusts(next);
    t.not(next, first);
    t.match(await fixture.metrics(), /lateral_control_plane_federation_roots\{trust_domain="partner\.example"\} 1\n/);

    partner.stop();
    const failed = () => fixture.events.some(({ event }) => event === 'federation_refresh_failed');
    await eventually('the outage is told', failed, PATIENCE_MS);
    await fixture.stop();
    await fixture.start({ federationLimits: SOON });
    const restarted = await startTrustingSidecar(t, fixture);
    t.strictSame(restarted.rootsOf(PARTNER), base64(next), 'what was remembered');
    t.match(await fixture.metrics(), /federation_failures_total\{trust_domain="partner\.example"\} \d+\n/);
  },
);
