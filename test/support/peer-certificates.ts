import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueLeaf, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { AuthorityService, type SignResponse } from '#proto/gen/lateral/v1/authority.ts';
import { bearing, openControlConnection } from '#sidecar/control/control-endpoint.ts';
import { MESH } from '../control-plane/control-plane-fixture.ts';
import type { MeshProcesses } from './mesh-processes.ts';

const SIGN_TIMEOUT_MS = 10_000;

/** What a peer of other making proves itself with, as files. */
export interface PeerFiles {
  /** Chain, leaf first; PEM. */
  readonly cert: string;
  readonly key: string;
}

/** Has the control plane sign a request (DER) for a service account of namespace shop, by a join token. */
export async function signRequest(mesh: MeshProcesses, serviceAccount: string, csr: Buffer): Promise<SignResponse> {
  const trustBundlePem = await readFile(mesh.trustBundle, 'utf8');
  const metadata = bearing(await mesh.token(serviceAccount));
  const client = openControlConnection({ address: mesh.address, trustBundlePem, mesh: MESH }, undefined);
  const { path, requestSerialize, responseDeserialize } = AuthorityService.sign;
  const request = { csr, expectedIdentity: `spiffe://${MESH.trustDomain}/ns/shop/sa/${serviceAccount}` };
  const options = { deadline: Date.now() + SIGN_TIMEOUT_MS };
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
        (error, answer) => {
          if (answer === undefined) reject(error ?? new Error('an empty answer'));
          else resolve(answer);
        },
      );
    });
  } finally {
    client.close();
  }
}

/** A certificate that the control plane signed for a service account of namespace shop, and its key. */
export async function peerFiles(mesh: MeshProcesses, serviceAccount: string): Promise<PeerFiles> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { certificateChain } = await signRequest(mesh, serviceAccount, createCertificateRequest(publicKey, privateKey));
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return writePeerFiles(mesh.directory, serviceAccount, certificatesToPem(certificateChain), key);
}

/** A certificate that the mesh's own authority signed `agoMs` ago for `lifetimeMs`. */
export async function agedPeerFiles(
  mesh: MeshProcesses,
  serviceAccount: string,
  agoMs: number,
  lifetimeMs: number,
): Promise<PeerFiles> {
  const read = (file: string) => readFile(join(mesh.directory, 'state/ca', file), 'utf8');
  const [certificate = Buffer.alloc(0)] = certificatesFromPem(await read('ca-cert.pem'));
  const issuer = {
    certificate,
    privateKey: createPrivateKey(await read('ca-key.pem')),
    notAfterMs: new X509Certificate(certificate).validToDate.getTime(),
  };
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const leaf = issueLeaf(
    {
      uri: `spiffe://${MESH.trustDomain}/ns/shop/sa/${serviceAccount}`,
      subjectPublicKeyInfo: publicKey.export({ type: 'spki', format: 'der' }),
      nowMs: Date.now() - agoMs,
      lifetimeMs,
      serial: randomBytes(SERIAL_BYTES),
    },
    issuer,
  );
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return writePeerFiles(
    mesh.directory,
    `${serviceAccount}-aged`,
    certificatesToPem([leaf, certificate]),
    key.toString(),
  );
}

export async function writePeerFiles(directory: string, name: string, cert: string, key: string): Promise<PeerFiles> {
  const files = { cert: join(directory, `${name}.peer.pem`), key: join(directory, `${name}.peer.key`) };
  await writeFile(files.cert, cert);
  await writeFile(files.key, key, { mode: 0o600 });
  return files;
}
