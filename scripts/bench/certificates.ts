import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueLeaf, issueRoot, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';

const DAY_MS = 86_400_000;

/** Writes ca.pem, and a certificate (P-256) and key each for `client` and `server` of namespace bench. */
export async function makeCertificates(directory: string): Promise<void> {
  const root = newKey();
  const nowMs = Date.now();
  const born = { nowMs, lifetimeMs: DAY_MS };
  const rootDer = issueRoot(
    {
      ...born,
      commonName: 'bench',
      trustDomain: 'cluster.local',
      pathLength: 0,
      subjectPublicKeyInfo: root.spki,
      serial: randomBytes(SERIAL_BYTES),
    },
    root.privateKey,
  );
  await writeFile(join(directory, 'ca.pem'), certificatesToPem([rootDer]));
  const issuer = { certificate: rootDer, privateKey: root.privateKey, notAfterMs: nowMs + DAY_MS };
  for (const name of ['client', 'server']) {
    const { privateKey, spki } = newKey();
    const uri = `spiffe://cluster.local/ns/bench/sa/${name}`;
    const leaf = issueLeaf({ ...born, uri, subjectPublicKeyInfo: spki, serial: randomBytes(SERIAL_BYTES) }, issuer);
    await writeFile(join(directory, `${name}.pem`), certificatesToPem([leaf]));
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    await writeFile(join(directory, `${name}.key`), pem, { mode: 0o600 });
  }
}

function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) };
}
