// Simulated sidecars of renewal-storm.ts, those from FIRST up to END. Told `renew`, all of them ask for a certificate at once.
import { generateKeyPairSync } from 'node:crypto';
import { createAuthority } from '../../control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '../../control-plane/authority/authority-directory.ts';
import { spiffeId } from '../../policy/identity/spiffe-id.ts';
import { certificatesToPem } from '../../policy/x509/pem.ts';
import { comeFromManyAddresses } from './many-addresses.ts';
import { RenewingSidecar } from './renewing-sidecar.ts';
import { namespaceOf } from './simulated-cluster.ts';

const [address = '', authorityDirectory = '', first = '', end = ''] = process.argv.slice(2);
/** Handshakes under way at a time, at the start. */
const CONCURRENT = 50;

comeFromManyAddresses();
const mesh = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const material = await openAuthorityDirectory(authorityDirectory, mesh, Date.now());
const authority = createAuthority(material, { leafLifetimeMs: 3_600_000, now: Date.now });
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const subjectPublicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' });
const rootsPem = Buffer.from(authority.trustBundlePem);

const sidecars = Array.from({ length: Number(end) - Number(first) }, (_, offset) => {
  const index = Number(first) + offset;
  const service = index >> 1;
  const [namespace, serviceAccount, name] = [namespaceOf(service), `s${service}`, `s${service}-${index & 1}`];
  const identity = spiffeId(mesh.trustDomain, namespace, serviceAccount);
  const { chain } = authority.issue(identity, subjectPublicKeyInfo);
  return new RenewingSidecar({
    address,
    rootsPem,
    identity: identity.uri,
    workload: { name, namespace, serviceAccount },
    first: { chainPem: certificatesToPem(chain), keyPem },
    onUpdate: ({ upserts }) => {
      for (const { key, document } of upserts) {
        if (!key.startsWith('AuthorizationPolicy/')) continue;
        const round = /\/round-(\d+)/.exec(document.toString())?.[1];
        if (round !== undefined) process.send?.({ kind: 'policy', sidecar: index, round: Number(round) });
      }
    },
  });
});

process.on('message', () => void renewAll());

async function renewAll(): Promise<void> {
  const beganMs = performance.now();
  const took: number[] = [];
  await Promise.all(
    sidecars.map(async (sidecar) => {
      took.push(await sidecar.renew());
      await sidecar.succeed();
    }),
  );
  process.send?.({ kind: 'renewed', took, movedMs: performance.now() - beganMs });
}

let next = 0;
await Promise.all(
  Array.from({ length: CONCURRENT }, async () => {
    while (next < sidecars.length) await sidecars[next++]?.connect();
  }),
);
process.send?.({ kind: 'connected' });
