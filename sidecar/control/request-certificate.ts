import { generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { Client, Metadata } from '@grpc/grpc-js';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { AuthorityService, type SignRequest, type SignResponse } from '#proto/gen/lateral/v1/authority.ts';
import type { Credentials } from '../identity/credentials.ts';
import { credentialsComplaint } from './check-credentials.ts';

/** Longest wait for the first certificate. */
const SIGN_TIMEOUT_MS = 10_000;
/** For one that renews: there is time, and when thousands renew at once the work of an attempt given up is done twice. */
export const RENEWAL_TIMEOUT_MS = 30_000;

/** The control plane signed something else than was asked. */
export class UnfitCertificate extends Error {}

export interface CertificateWish {
  readonly identity: SpiffeId;
  readonly nowMs: number;
  /** Default SIGN_TIMEOUT_MS. */
  readonly timeoutMs?: number;
}

const generateKey = promisify(generateKeyPair);

/**
 * Gets a certificate for a new P-256 key over a connection to the control plane, whose certificate or the token in `metadata` proves
 * who asks. The answer is checked before it is returned: it must be for this identity and this key, and of the roots that
 * came with it, by the word of the control plane, which has proven itself.
 */
export async function requestCertificate(
  connection: Client,
  metadata: Metadata,
  { identity, nowMs, timeoutMs = SIGN_TIMEOUT_MS }: CertificateWish,
): Promise<Credentials> {
  const { publicKey, privateKey } = await generateKey('ec', { namedCurve: 'P-256' });
  const csr = createCertificateRequest(publicKey, privateKey);
  const response = await sign(connection, metadata, { csr, expectedIdentity: identity.uri }, timeoutMs);
  const credentials: Credentials = {
    identity,
    certificateChainPem: certificatesToPem(response.certificateChain),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    trustBundlePem: certificatesToPem(response.trustBundle),
    expiresAtMs: response.expiresAtMs,
  };
  const complaint = credentialsComplaint(credentials, credentials.trustBundlePem, nowMs);
  if (complaint === undefined) return credentials;
  throw new UnfitCertificate(`the control plane signed something else than was asked: ${complaint}`);
}

function sign(connection: Client, metadata: Metadata, request: SignRequest, timeoutMs: number): Promise<SignResponse> {
  const { path, requestSerialize, responseDeserialize } = AuthorityService.sign;
  return new Promise<SignResponse>((resolve, reject) => {
    const deadline = Date.now() + timeoutMs;
    connection.makeUnaryRequest(
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
  });
}
