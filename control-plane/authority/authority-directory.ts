import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { type Issuer, issueAuthority, issueRoot, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { type AuthorityMaterial, readAuthorityMaterial } from './authority-material.ts';

const YEAR_MS = 365 * 86_400_000;
export const ROOT_LIFETIME_MS = 10 * YEAR_MS;
export const ISSUER_LIFETIME_MS = YEAR_MS;
/** The issuing authority of our own making is renewed at a start when less than this is left of it. */
export const ISSUER_RENEWAL_REST_MS = ISSUER_LIFETIME_MS / 3;
const MAX_AUTHORITY_FILE_BYTES = 256 * 1024;

/** Istio's names for a plugged-in authority, and the root's key, which is there only when we made the root. */
const FILE = {
  rootCertificates: 'root-cert.pem',
  issuingCertificate: 'ca-cert.pem',
  issuingKey: 'ca-key.pem',
  chain: 'cert-chain.pem',
  rootKey: 'root-key.pem',
} as const;

/**
 * The authority kept in a directory: made at the first start, an authority plugged in under Istio's file names
 * used as it is, one of our own making renewed when its end is near. Throws when files are missing, do not fit
 * together, or a key can be read by others than its owner.
 */
export async function openAuthorityDirectory(directory: string, mesh: Mesh, nowMs: number): Promise<AuthorityMaterial> {
  const found = await readFiles(directory);
  if (found.root === undefined) {
    if (found.issuing !== undefined || found.issuingKey !== undefined) {
      throw new Error(`${join(directory, FILE.rootCertificates)}: missing, yet other files of an authority are there`);
    }
    await makeRoot(directory, mesh, nowMs);
  } else if (found.rootKey !== undefined && needsIssuer(found, nowMs)) {
    await makeIssuer(directory, mesh, rootIssuer(directory, found.root, found.rootKey), nowMs);
  }
  const { root, issuing, issuingKey, chain } = await readFiles(directory);
  if (root === undefined) throw new Error(`${join(directory, FILE.rootCertificates)}: missing`);
  if (issuing === undefined) throw new Error(`${join(directory, FILE.issuingCertificate)}: missing`);
  if (issuingKey === undefined) throw new Error(`${join(directory, FILE.issuingKey)}: missing`);
  const files = { rootCertificates: root, issuingCertificate: issuing, issuingKey, chain: chain ?? issuing };
  try {
    return readAuthorityMaterial(files, nowMs);
  } catch (error) {
    throw new Error(join(directory, error instanceof Error ? error.message : String(error)));
  }
}

interface FoundFiles {
  readonly root: string | undefined;
  readonly rootKey: string | undefined;
  readonly issuing: string | undefined;
  readonly issuingKey: string | undefined;
  readonly chain: string | undefined;
}

async function readFiles(directory: string): Promise<FoundFiles> {
  const read = async (name: string) => (await readBoundedFile(join(directory, name), MAX_AUTHORITY_FILE_BYTES))?.text;
  return {
    root: await read(FILE.rootCertificates),
    rootKey: await readKeyFile(directory, FILE.rootKey),
    issuing: await read(FILE.issuingCertificate),
    issuingKey: await readKeyFile(directory, FILE.issuingKey),
    chain: await read(FILE.chain),
  };
}

async function readKeyFile(directory: string, name: string): Promise<string | undefined> {
  const path = join(directory, name);
  const file = await readBoundedFile(path, MAX_AUTHORITY_FILE_BYTES);
  if (file === undefined) return undefined;
  if (isSharedMode(file.mode)) {
    throw new Error(`${path}: mode ${file.mode.toString(8)} lets others read the key; run chmod 600 ${path}`);
  }
  return file.text;
}

/** The key is written first: a start that was cut off leaves no root without its key, and the next one begins anew. */
async function makeRoot(directory: string, mesh: Mesh, nowMs: number): Promise<void> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = authorityRequest('Lateral root', mesh, 1, publicKey, nowMs, ROOT_LIFETIME_MS);
  const certificate = issueRoot(request, privateKey);
  const issuer = { certificate, privateKey, notAfterMs: nowMs + ROOT_LIFETIME_MS };
  await writeFileAtomically(join(directory, FILE.rootKey), keyToPem(privateKey));
  await writeFileAtomically(join(directory, FILE.rootCertificates), certificatesToPem([certificate]));
  await makeIssuer(directory, mesh, issuer, nowMs);
}

async function makeIssuer(directory: string, mesh: Mesh, root: Issuer, nowMs: number): Promise<void> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = authorityRequest('Lateral issuing authority', mesh, 0, publicKey, nowMs, ISSUER_LIFETIME_MS);
  const certificate = issueAuthority(request, root);
  await writeFileAtomically(join(directory, FILE.issuingKey), keyToPem(privateKey));
  await writeFileAtomically(join(directory, FILE.chain), certificatesToPem([certificate, root.certificate]));
  await writeFileAtomically(join(directory, FILE.issuingCertificate), certificatesToPem([certificate]));
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
    serial: randomBytes(SERIAL_BYTES),
  };
}

function rootIssuer(directory: string, rootPem: string, rootKeyPem: string): Issuer {
  const privateKey = createPrivateKey(rootKeyPem);
  for (const certificate of certificatesFromPem(rootPem)) {
    const parsed = new X509Certificate(certificate);
    if (parsed.checkPrivateKey(privateKey)) {
      return { certificate, privateKey, notAfterMs: parsed.validToDate.getTime() };
    }
  }
  throw new Error(
    `${join(directory, FILE.rootKey)}: is not the key of a certificate in ${FILE.rootCertificates}; remove it if the authority is not of Lateral's making`,
  );
}

/** True when the issuer is missing, near its end, or was being replaced when a start was cut off. */
function needsIssuer({ issuing, issuingKey }: FoundFiles, nowMs: number): boolean {
  if (issuing === undefined || issuingKey === undefined) return true;
  const [der] = certificatesFromPem(issuing);
  if (der === undefined) return true;
  const certificate = new X509Certificate(der);
  if (certificate.validToDate.getTime() - nowMs < ISSUER_RENEWAL_REST_MS) return true;
  return !certificate.checkPrivateKey(createPrivateKey(issuingKey));
}

function keyToPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}
