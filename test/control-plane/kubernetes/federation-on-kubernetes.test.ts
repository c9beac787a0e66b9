import t from 'tap';
import type { RunningControlPlane } from '#control-plane/start-control-plane.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { skip as noHelm } from '../../helm/helm-template.ts';
import { noApiServer } from '../../support/api-server.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { eventually } from '../control-plane-fixture.ts';
import { PARTNER, PARTNER_SERVER, PartnerEndpoint } from '../federation/partner-endpoint.ts';
import { MeshOnApiServer } from './mesh-on-api-server.ts';

const SECRETS = ['lateral-former-authorities', 'lateral-federated-bundles'];
const PATIENCE_MS = 60_000;
const SOON = { shortestMs: 200, longestMs: 200, defaultMs: 200, backoff: { firstMs: 200, longestMs: 200 } };

t.setTimeout(280_000);

t.test(
  'by the rights of the chart the leader keeps what was served, and a replica that starts in an outage goes on with it',
  { skip: noApiServer ?? noHelm, timeout: 240_000 },
  async (t) => {
    const mesh = new MeshOnApiServer(t.testdir());
    t.teardown(() => mesh.stop());
    await mesh.start();
    for (const name of SECRETS) {
      await mesh.api.apply(`{apiVersion: v1, kind: Secret, metadata: {name: ${name}, namespace: lateral-system}}`);
    }
    await mesh.restrict('--set', 'bundleEndpoint.enabled=true');
    const partner = await PartnerEndpoint.start(t);
    const bundle = { kind: 'inline', value: partner.authority.rootPem } as const;
    const proof = { profile: 'https_spiffe', spiffeId: PARTNER_SERVER, trustDomain: PARTNER } as const;
    const federation = [{ trustDomain: PARTNER, bundle, endpoint: { ...proof, url: partner.url } }];
    const options = { statusPort: 0, federation, federationLimits: SOON };
    const roots = async ({ statusPort }: RunningControlPlane) => {
      const text = await (await fetch(`http://127.0.0.1:${statusPort}/metrics`)).text();
      return /federation_roots\{trust_domain="partner\.example"\} (\d+)/.exec(text)?.[1];
    };

    const first = await mesh.startReplica('127.0.0.1', options);
    t.equal(await roots(first), '1', 'the configured one');
    partner.publish([...partner.roots, ...certificatesFromPem(new TestAuthority(PARTNER).rootPem)], 2);
    await eventually('both roots', async () => (await roots(first)) === '2', PATIENCE_MS);
    const kept = async () => {
      const path = '/api/v1/namespaces/lateral-system/secrets/lateral-federated-bundles';
      const secret = await mesh.api.client.request(path);
      const data = isRecord(secret) && isRecord(secret.data) ? secret.data : {};
      return Buffer.from(String(data['federation.json'] ?? ''), 'base64').toString();
    };
    const sequence = /"sequence":"2"/;
    await eventually('the leader has kept them', async () => sequence.test(await kept()), PATIENCE_MS);

    await partner.stop();
    const second = await mesh.startReplica('127.0.0.1', options);
    t.equal(await roots(second), '2');
    t.notOk(mesh.events.some(({ event }) => event === 'federation_forgotten' || event === 'federation_not_remembered'));
  },
);
