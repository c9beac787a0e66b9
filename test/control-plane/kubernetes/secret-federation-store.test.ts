import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import type { FederationMemory } from '#control-plane/federation/federation-state.ts';
import { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { KubernetesSecret } from '#control-plane/kubernetes/identity/secret.ts';
import {
  FEDERATION_SECRET,
  secretFederationStore,
} from '#control-plane/kubernetes/identity/secret-federation-store.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';

/** One Secret, as the API server has it; `undefined`: it does not exist. */
async function secretServer(t: Test) {
  const state = { object: { metadata: { resourceVersion: '1' }, data: {} } as unknown, writes: 0 };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (request.method === 'PUT') {
      state.writes += 1;
      const object: { metadata: object } = JSON.parse(Buffer.concat(chunks).toString());
      state.object = { ...object, metadata: { ...object.metadata, resourceVersion: String(state.writes + 1) } };
    }
    response.writeHead(state.object === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(state.object ?? {}));
  });
  await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = new URL(`http://127.0.0.1:${portOf(server)}`);
  const client = new KubernetesClient({ url, options: async () => ({}), forget: () => {} });
  t.teardown(() => client.close());
  return { state, secret: new KubernetesSecret(client, 'lateral-system', FEDERATION_SECRET) };
}

function memoryOf(sequence: bigint, fetchedAtMs = 1_000): FederationMemory {
  const roots = certificatesFromPem(new TestAuthority('partner.example').rootPem);
  const bundle = { roots, sequence, refreshHintS: 300, configuredDigest: 'x', fetchedAtMs };
  return { bundles: new Map([['partner.example', bundle]]), own: { sequence: 7, digest: 'y' } };
}

t.test('what the leader wrote is what each replica begins with', async (t) => {
  const { secret } = await secretServer(t);
  const memory = memoryOf(3n);
  await secretFederationStore(secret, () => true).write(memory);
  t.strictSame(await secretFederationStore(secret, () => false).read(), memory);
});

t.test('a Secret as the chart makes it holds nothing', async (t) => {
  const { secret } = await secretServer(t);
  t.equal(await secretFederationStore(secret, () => true).read(), undefined);
});

t.test('who does not lead writes nothing, and who leads only what is another', async (t) => {
  const { secret, state } = await secretServer(t);
  const memory = memoryOf(3n);
  await secretFederationStore(secret, () => false).write(memory);
  t.equal(state.writes, 0);
  const leader = secretFederationStore(secret, () => true);
  await leader.write(memory);
  const again = new Map([...memory.bundles].map(([name, bundle]) => [name, { ...bundle, fetchedAtMs: 99_000 }]));
  await leader.write({ ...memory, bundles: again });
  t.equal(state.writes, 1, 'fetched once more');
  await leader.write({ ...memory, own: { sequence: 8, digest: 'z' } });
  t.equal(state.writes, 2);
});

t.test('what cannot be kept is an error in words', async (t) => {
  const { secret, state } = await secretServer(t);
  const leader = secretFederationStore(secret, () => true);
  const [roots = Buffer.of()] = certificatesFromPem(new TestAuthority().rootPem);
  const one = { roots: Array(60).fill(roots), sequence: 1n, refreshHintS: 1, configuredDigest: 'x', fetchedAtMs: 1 };
  const many = new Map(Array.from({ length: 64 }, (_, n) => [`d${n}.example`, one]));
  await t.rejects(leader.write({ bundles: many, own: undefined }), { message: /exceed the 1000000 that a Secret/ });
  state.object = undefined;
  await t.rejects(leader.write(memoryOf(1n)), { message: /there is no Secret lateral-federated-bundles/ });
});
