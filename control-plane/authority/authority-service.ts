import type { handleUnaryCall, Metadata } from '@grpc/grpc-js';
import { parseSpiffeId, type SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { readCertificateRequest } from '#policy/x509/certificate-request.ts';
import type { SignRequest, SignResponse } from '#proto/gen/lateral/v1/authority.ts';
import type { EventLog } from '../event-log.ts';
import { Allowance, type AllowanceLimits } from '../grpc/allowance.ts';
import { bearerToken } from '../grpc/bearer-token.ts';
import type { CallerProofs, ProvenCall } from '../grpc/caller-proofs.ts';
import { asRefusal, refusedBy } from '../grpc/refuse-call.ts';
import type { ReviewToken } from '../kubernetes/identity/token-review.ts';
import { addressOfPeer } from '../listener/plain-address.ts';
import type { ControlPlaneMetrics } from '../status/metrics.ts';
import { parseJoinToken } from '../tokens/join-token.ts';
import type { TokenStore } from '../tokens/token-store.ts';
import type { Authority } from './authority.ts';
import { controlPlaneIdentity } from './control-plane-certificate.ts';
import { SigningTurns } from './signing-turns.ts';

/**
 * Certificates of one identity by who asks: a pod needs one at its start and one each time that half of a life has passed; by one address
 * come perhaps all the sidecars of a machine, or of a gateway.
 */
export const SIGNINGS: { readonly pod: AllowanceLimits; readonly address: AllowanceLimits } = {
  pod: { burst: 32, intervalMs: 1_000, callers: 16_384 },
  address: { burst: 2_500, intervalMs: 20, callers: 16_384 },
};

export interface AuthorityServiceOptions {
  readonly callers: CallerProofs;
  readonly authority: Authority;
  /** Undefined: no join tokens are configured. */
  readonly tokens: TokenStore | undefined;
  /** Undefined: no API server is there to review tokens of service accounts. */
  readonly reviewToken: ReviewToken | undefined;
  readonly mesh: Mesh;
  readonly metrics: ControlPlaneMetrics;
  readonly log: EventLog;
  readonly now: () => number;
}

interface SigningCall extends ProvenCall {
  readonly metadata: Metadata;
  getPeer(): string;
}

/** An identity the caller has proven. `claim` uses the proof up where it is good for one use. */
interface Proof {
  readonly identity: SpiffeId;
  readonly by: 'token' | 'certificate';
  /** Which of those that have the identity. */
  readonly caller: Caller;
  claim(): Promise<void>;
}

/** A pod, where the proof is a pod's, else an address. */
interface Caller {
  readonly kind: keyof typeof SIGNINGS;
  readonly name: string;
}

type Allowances = { readonly [kind in Caller['kind']]: Allowance };

/**
 * `Authority.Sign`: a certificate for the identity that a join token or the caller's certificate proves. From the
 * CSR comes the public key and nothing else; one that names another identity is refused. A token is used up only once everything else has been found in order.
 */
export function authorityService(options: AuthorityServiceOptions): handleUnaryCall<SignRequest, SignResponse> {
  const { metrics, log } = options;
  const now = () => performance.now();
  const allowances = { pod: new Allowance(SIGNINGS.pod, now), address: new Allowance(SIGNINGS.address, now) };
  const turns = new SigningTurns();
  return (call, callback) => {
    sign(options, { allowances, turns }, call, call.request).then(
      ({ response, proof }) => {
        metrics.signings[proof.by]++;
        log('certificate_signed', {
          identity: proof.identity.uri,
          by: proof.by,
          expiresAt: new Date(response.expiresAtMs).toISOString(),
        });
        callback(null, response);
      },
      (error: unknown) => {
        const refusal = asRefusal(error, (cause) => log('signing_failed', { error: String(cause) }), 'signing_failed');
        metrics.signingRefusals++;
        log('signing_refused', { peer: call.getPeer(), code: refusal.refusalCode, reason: refusal.details });
        callback(refusal);
      },
    );
  };
}

async function sign(
  options: AuthorityServiceOptions,
  { allowances, turns }: { readonly allowances: Allowances; readonly turns: SigningTurns },
  call: SigningCall,
  request: SignRequest,
): Promise<{ response: SignResponse; proof: Proof }> {
  const { authority, callers, mesh, metrics } = options;
  const proof = await prove(options, call);
  if (proof.identity.uri === controlPlaneIdentity(mesh).uri) {
    throw refusedBy('identity_reserved', "the control plane's own identity is never signed for a caller");
  }
  const revocation = authority.revocations.isRevoked(proof.identity.uri, '');
  if (revocation !== undefined) throw refusedBy('certificate_revoked', revocation);
  if (request.expectedIdentity !== proof.identity.uri) {
    throw refusedBy(
      proof.by === 'token' ? 'identity_mismatch' : 'certificate_not_its_own',
      `the ${proof.by} is for ${proof.identity.uri}, and the sidecar expects ${shownIdentity(request.expectedIdentity)}`,
    );
  }
  const { kind, name } = proof.caller;
  if (!allowances[kind].take(`${proof.identity.uri} ${name}`)) {
    metrics.signingsOverRate++;
    const { burst, intervalMs } = SIGNINGS[kind];
    const reason = `${kind} ${name} asks for certificates of ${proof.identity.uri} more often than ${burst} at once and one in ${intervalMs} ms; come again`;
    throw refusedBy('signing_rate_limited', reason);
  }
  await turns.take();
  const certificateRequest = readCertificateRequest(request.csr);
  if (certificateRequest.kind === 'invalid') throw refusedBy(certificateRequest.code, certificateRequest.reason);
  const foreign = certificateRequest.requestedUris.find((uri) => uri !== proof.identity.uri);
  if (foreign !== undefined) {
    const reason = `the certificate request asks for ${shownIdentity(foreign)}, and the ${proof.by} is for ${proof.identity.uri}`;
    throw refusedBy('csr_identity_mismatch', reason);
  }
  // A signing that fails uses up no token; what a token turns out not to pay for is thrown away.
  const issued = authority.issue(proof.identity, certificateRequest.subjectPublicKeyInfo);
  await proof.claim();
  callers.issued(proof.identity, issued);
  const response = {
    certificateChain: [...issued.chain],
    trustBundle: [...authority.trustBundle],
    expiresAtMs: issued.expiresAtMs,
  };
  return { response, proof };
}

/** A token decides where one is sent; otherwise the certificate of the connection does. */
async function prove(options: AuthorityServiceOptions, call: SigningCall): Promise<Proof> {
  const { callers } = options;
  const [authorization] = call.metadata.get('authorization');
  if (authorization !== undefined) return proveByToken(options, call, authorization.toString());
  const caller = callers.of(call);
  if (caller === undefined) {
    throw refusedBy('proof_missing', 'neither a join token nor a certificate of this mesh was presented');
  }
  return { identity: caller.identity, by: 'certificate', caller: callerAt(call), claim: async () => {} };
}

/** A join token, where that is its form; else a token of a service account, which Kubernetes knows. */
async function proveByToken(
  options: AuthorityServiceOptions,
  call: SigningCall,
  authorization: string,
): Promise<Proof> {
  const { tokens, reviewToken } = options;
  const token = bearerToken(authorization);
  if (reviewToken !== undefined && parseJoinToken(token) === undefined) {
    return proveByReview(options, () => reviewToken(token, addressOf(call)));
  }
  if (tokens !== undefined) return proveByJoinToken(options, tokens, token, callerAt(call));
  throw refusedBy('tokens_not_taken', 'this control plane takes no join tokens (tokens.directory is not set)');
}

async function proveByJoinToken(
  { mesh }: AuthorityServiceOptions,
  tokens: TokenStore,
  token: string,
  caller: Caller,
): Promise<Proof> {
  const verification = await tokens.verify(token);
  if (verification.kind === 'invalid') throw refusedBy(verification.code, verification.reason);
  return {
    identity: identityOf(mesh, verification.grant),
    by: 'token',
    caller,
    async claim() {
      if (await tokens.consume(token)) return;
      const again = await tokens.verify(token);
      if (again.kind === 'invalid') throw refusedBy(again.code, again.reason);
      throw refusedBy('token_used', 'the token was used by another caller just now');
    },
  };
}

async function proveByReview(
  { mesh, log }: AuthorityServiceOptions,
  review: () => ReturnType<ReviewToken>,
): Promise<Proof> {
  const caller = await review();
  const identity = identityOf(mesh, caller);
  const { podName: pod, podUid } = caller;
  const claim = async () => log('token_reviewed', { identity: identity.uri, pod, podUid });
  return { identity, by: 'token', caller: { kind: 'pod', name: podUid }, claim };
}

function identityOf(
  { trustDomain }: Mesh,
  { namespace, serviceAccount }: { readonly namespace: string; readonly serviceAccount: string },
): SpiffeId {
  const parsed = parseSpiffeId(`spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
  if (parsed.kind === 'invalid') throw refusedBy('invalid_spiffe_id', parsed.reason);
  return parsed.id;
}

function addressOf(call: SigningCall): string {
  return addressOfPeer(call.getPeer());
}

function callerAt(call: SigningCall): Caller {
  return { kind: 'address', name: addressOf(call) };
}

/** What a caller sent, cut to what a log line should hold. */
function shownIdentity(text: string): string {
  return text === '' ? 'none' : JSON.stringify(text.slice(0, 200));
}
