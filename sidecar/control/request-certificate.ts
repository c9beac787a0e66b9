import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { Metadata } from '@grpc/grpc-js';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { AuthorityService, type SignRequest, type SignResponse } from '#proto/gen/lateral/v1/authority.ts';
import type { Credentials } from '../identity/credentials.ts';
import { credentialsComplaint } from './check-credentials.ts';
import { bearing, type ControlEndpoint, openControlConnection } from './control-endpoint.ts';

/** Longest wait for a certificate. */
export const SIGN_TIMEOUT_MS = 10_000;

/** By what the sidecar proves who it is. */
export type Proof =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'certificate'; readonly credentials: Credentials };

const generateKey = promisify(generateKeyPair);

/**
 * Gets a certificate for a new P-256 key from the control plane. The answer is checked before it is returned: it
 * must be for this identity and this key, and of a root that is trusted already.
 */
export async function requestCertificate(
  endpoint: ControlEndpoint,
  identity: SpiffeId,
  proof: Proof,
  nowMs: number,
): Promise<Credentials> {
  const { publicKey, privateKey } = await generateKey('ec', { namedCurve: 'P-256' });
  const csr = createCertificateRequest(publicKey, privateKey);
  const response = await sign(endpoint, proof, { csr, expectedIdentity: identity.uri });
  const credentials: Credentials = {
    identity,
    certificateChainPem: certificatesToPem(response.certificateChain),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    trustBundlePem: certificatesToPem(response.trustBundle),
    expiresAtMs: response.expiresAtMs,
  };
  const complaint = credentialsComplaint(credentials, credentials.trustBundlePem, nowMs);
  if (complaint !== undefined) throw new Error(`the control plane signed something else than was asked: ${complaint}`);
  return credentials;
}

function sign(endpoint: ControlEndpoint, proof: Proof, request: SignRequest): Promise<SignResponse> {
  const client = openControlConnection(endpoint, proof.kind === 'certificate' ? proof.credentials : undefined);
  const metadata = proof.kind === 'token' ? bearing(proof.token) : new Metadata();
  const { path, requestSerialize, responseDeserialize } = AuthorityService.sign;
  return new Promise<SignResponse>((resolve, reject) => {
    const deadline = Date.now() + SIGN_TIMEOUT_MS;
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      { deadline },
      (error, response) => {
        if (error !== null) reject(error);
        else if (response === undefined) reject(new Error('the control plane sent an empty answer'));
        else resolve(response);
      },
    );
  }).finally(() => client.close());
}
