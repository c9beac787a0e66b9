import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { issueLeaf, issueRoot, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';

const HOUR_MS = 3_600_000;

/** A well-formed certificate of another mesh: same names as orders has here, another authority. */
export function foreignCredentials(): { readonly cert: string; readonly key: string } {
  const root = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const leaf = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const nowMs = Date.now();
  const shared = { nowMs, lifetimeMs: HOUR_MS };
  const certificate = issueRoot(
    {
      ...shared,
      commonName: 'foreign',
      trustDomain: 'foreign.example',
      pathLength: 0,
      subjectPublicKeyInfo: publicDer(root.publicKey),
      serial: randomBytes(SERIAL_BYTES),
    },
    root.privateKey,
  );
  const signed = issueLeaf(
    {
      ...shared,
      uri: 'spiffe://foreign.example/ns/shop/sa/orders',
      subjectPublicKeyInfo: publicDer(leaf.publicKey),
      serial: randomBytes(SERIAL_BYTES),
    },
    { certificate, privateKey: root.privateKey, notAfterMs: nowMs + HOUR_MS },
  );
  return {
    cert: certificatesToPem([signed]),
    key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function publicDer(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}
