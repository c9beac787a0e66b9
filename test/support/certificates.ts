import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { issueLeaf, issueRoot, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { issueServerCertificate } from '#policy/x509/server-certificate.ts';

const DAY_MS = 86_400_000;

export interface TestLeaf {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority for tests; makes leaves for any URI. */
export class TestAuthority {
  readonly rootPem: string;
  readonly #root: Buffer;
  readonly #key: KeyObject;

  constructor(trustDomain = 'cluster.local') {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    this.#root = issueRoot(
      {
        commonName: 'test root',
        trustDomain,
        pathLength: 0,
        subjectPublicKeyInfo: derOf(publicKey),
        nowMs: Date.now(),
        lifetimeMs: DAY_MS,
        serial: randomBytes(SERIAL_BYTES),
      },
      privateKey,
    );
    this.rootPem = certificatesToPem([this.#root]);
  }

  /** `bornMs`, `lifetimeMs`: to make leaves that have ended or have not begun. */
  leaf(uri: string, bornMs = Date.now(), lifetimeMs = DAY_MS): TestLeaf {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const issuer = { certificate: this.#root, privateKey: this.#key, notAfterMs: Date.now() + DAY_MS };
    const subjectPublicKeyInfo = derOf(publicKey);
    const der = issueLeaf(
      { uri, subjectPublicKeyInfo, nowMs: bornMs, lifetimeMs, serial: randomBytes(SERIAL_BYTES) },
      issuer,
    );
    return { cert: certificatesToPem([der]), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
  }

  /** A web server's, for a DNS name and without a SPIFFE ID. */
  webLeaf(dnsName: string): TestLeaf {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const issuer = { certificate: this.#root, privateKey: this.#key, notAfterMs: Date.now() + DAY_MS };
    const der = issueServerCertificate(
      {
        dnsNames: [dnsName],
        subjectPublicKeyInfo: derOf(publicKey),
        nowMs: Date.now(),
        lifetimeMs: DAY_MS,
        serial: randomBytes(SERIAL_BYTES),
      },
      issuer,
    );
    return { cert: certificatesToPem([der]), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
  }
}

function derOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}
