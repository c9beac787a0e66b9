import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import type { Mesh } from '#policy/workload-policy.ts';
import { type Issuer, issueAuthority, issueRoot, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { CLOCK_SKEW_LIMITS } from './authority.ts';
import { type IssuingMaterial, readAuthorityMaterial } from './authority-material.ts';
import { probeIssuer } from './probe-issuer.ts';

const YEAR_MS = 365 * 86_400_000;
export const ROOT_LIFETIME_MS = 10 * YEAR_MS;
export const ISSUER_LIFETIME_MS = YEAR_MS;
/** The issuing authority of our own making is renewed when less than this is left of it. */
export const ISSUER_RENEWAL_REST_MS = ISSUER_LIFETIME_MS / 3;
/** Another control plane that was first is read anew this often. */
const MAX_ATTEMPTS = 5;

/** Istio's names for a plugged-in authority, and the root's key, which is there only when we made the root. */
export const AUTHORITY_FILE = {
  rootKey: 'root-key.pem',
  root: 'root-cert.pem',
  issuingKey: 'ca-key.pem',
  chain: 'cert-chain.pem',
  issuing: 'ca-cert.pem',
} as const;

export type AuthorityFile = keyof typeof AUTHORITY_FILE;

/** The files of an authority, PEM; what is not there is undefined. */
export type StoredAuthority = { readonly [file in AuthorityFile]: string | undefined };

/** Where an authority is kept. */
export interface AuthorityStore {
  read(): Promise<StoredAuthority>;
  /**
   * Stores these files beside the others. `conflict`: somebody else has written since the last `read`, and nothing was
   * stored. Where files are written one by one, a key comes before its certificate: a start that was cut off leaves no
   * certificate without its key, and the next one begins anew.
   */
  write(files: Partial<StoredAuthority>): Promise<'written' | 'conflict'>;
  /** How messages name a file. */
  place(file: string): string;
}

/** What of an authority may be made, where it is missing. */
export interface Makings {
  readonly mayMakeRoot: boolean;
  /** Also where its key and certificate do not fit: a start that was cut off leaves such, and so does somebody who is just putting in his own. */
  readonly mayMakeIssuer: boolean;
}

const FIRST_OPENING: Makings = { mayMakeRoot: true, mayMakeIssuer: true };

/**
 * The authority kept in a store: made at the first start, one plugged in used as it is, one of our own making renewed when
 * its end is near. Throws when files are missing or do not fit together, and where all are but may not be made anew.
 */
export async function openAuthority(
  store: AuthorityStore,
  mesh: Mesh,
  nowMs: number,
  { mayMakeRoot, mayMakeIssuer }: Makings = FIRST_OPENING,
): Promise<IssuingMaterial> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const found = await store.read();
    if (!mayMakeRoot && found.root === undefined) {
      throw new Error(`${store.place(AUTHORITY_FILE.root)}: it was there, and is missing`);
    }
    const missing = missingFiles(found, store, mesh, { nowMs, mayMakeIssuer });
    if (missing === undefined) return materialOf(found, store, mesh, nowMs);
    if ((await store.write(missing)) === 'written') return materialOf(await store.read(), store, mesh, nowMs);
  }
  throw new Error(`${store.place(AUTHORITY_FILE.root)}: others wrote it ${MAX_ATTEMPTS} times while it was being made`);
}

/** What has to be made; undefined: nothing. */
function missingFiles(
  found: StoredAuthority,
  store: AuthorityStore,
  mesh: Mesh,
  { nowMs, mayMakeIssuer }: Pick<Makings, 'mayMakeIssuer'> & { readonly nowMs: number },
): Partial<StoredAuthority> | undefined {
  if (found.root === undefined) {
    if (found.issuing !== undefined || found.issuingKey !== undefined) {
      throw new Error(`${store.place(AUTHORITY_FILE.root)}: missing, yet other files of an authority are there`);
    }
    return makeRoot(mesh, nowMs);
  }
  if (found.rootKey === undefined) return undefined;
  const isNeeded = isFit(found) ? endsSoon(found, nowMs) : mayMakeIssuer;
  if (!isNeeded) return undefined;
  const root = rootIssuer(store, found.root, found.rootKey);
  // one that is being put in is nobody's to renew
  if (!mayMakeIssuer && !isSignedBy(found, root)) return undefined;
  return makeIssuer(mesh, root, nowMs);
}

function materialOf(
  { root, issuing, issuingKey, chain }: StoredAuthority,
  store: AuthorityStore,
  mesh: Mesh,
  nowMs: number,
): IssuingMaterial {
  const missing = (file: AuthorityFile) => new Error(`${store.place(AUTHORITY_FILE[file])}: missing`);
  if (root === undefined) throw missing('root');
  if (issuing === undefined) throw missing('issuing');
  if (issuingKey === undefined) throw missing('issuingKey');
  const files = { rootCertificates: root, issuingCertificate: issuing, issuingKey, chain: chain ?? issuing };
  try {
    const material = readAuthorityMaterial(files, nowMs);
    probeIssuer(material, mesh, nowMs);
    return material;
  } catch (error) {
    throw new Error(store.place(error instanceof Error ? error.message : String(error)));
  }
}

/** A new root and an issuer under it. */
export function makeRoot(mesh: Mesh, nowMs: number) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = authorityRequest('Lateral root', mesh, 1, publicKey, nowMs, ROOT_LIFETIME_MS);
  const certificate = issueRoot(request, privateKey);
  const issuer = { certificate, privateKey, notAfterMs: nowMs + ROOT_LIFETIME_MS };
  return {
    rootKey: keyToPem(privateKey),
    root: certificatesToPem([certificate]),
    ...makeIssuer(mesh, issuer, nowMs),
  };
}

function makeIssuer(mesh: Mesh, root: Issuer, nowMs: number) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = authorityRequest('Lateral issuing authority', mesh, 0, publicKey, nowMs, ISSUER_LIFETIME_MS);
  const certificate = issueAuthority(request, root);
  return {
    issuingKey: keyToPem(privateKey),
    chain: certificatesToPem([certificate, root.certificate]),
    issuing: certificatesToPem([certificate]),
  };
}

function authorityRequest(
  commonName: string,
  mesh: Mesh,
  pathLength: number,
  publicKey: KeyObject,
  nowMs: number,
  lifetimeMs: number,
) {
  return {
    commonName,
    trustDomain: mesh.trustDomain,
    pathLength,
    subjectPublicKeyInfo: publicKey.export({ type: 'spki', format: 'der' }),
    nowMs,
    lifetimeMs,
    clockSkewMs: CLOCK_SKEW_LIMITS.maximumMs, // no leaf begins before those who vouch for it
    serial: randomBytes(SERIAL_BYTES),
  };
}

function rootIssuer(store: AuthorityStore, rootPem: string, rootKeyPem: string): Issuer {
  const privateKey = createPrivateKey(rootKeyPem);
  for (const certificate of certificatesFromPem(rootPem)) {
    const parsed = new X509Certificate(certificate);
    if (parsed.checkPrivateKey(privateKey)) {
      return { certificate, privateKey, notAfterMs: parsed.validToDate.getTime() };
    }
  }
  throw new Error(
    `${store.place(AUTHORITY_FILE.rootKey)}: is not the key of a certificate in ${AUTHORITY_FILE.root}; remove it if the authority is not of Lateral's making`,
  );
}

/** False when the issuer is missing, or was being replaced when a start was cut off. */
function isFit({ issuing, issuingKey }: StoredAuthority): boolean {
  const [der] = certificatesFromPem(issuing ?? '');
  if (der === undefined || issuingKey === undefined) return false;
  return new X509Certificate(der).checkPrivateKey(createPrivateKey(issuingKey));
}

function endsSoon({ issuing }: StoredAuthority, nowMs: number): boolean {
  return certificatesFromPem(issuing ?? '')
    .slice(0, 1)
    .some((der) => new X509Certificate(der).validToDate.getTime() - nowMs < ISSUER_RENEWAL_REST_MS);
}

function isSignedBy({ issuing }: StoredAuthority, root: Issuer): boolean {
  const [der] = certificatesFromPem(issuing ?? '');
  return der !== undefined && new X509Certificate(der).verify(new X509Certificate(root.certificate).publicKey);
}

function keyToPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}
