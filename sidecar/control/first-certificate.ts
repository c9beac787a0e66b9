import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { Credentials } from '../identity/credentials.ts';
import type { RenewalRecord } from '../identity/renewal-record.ts';
import { Backoff } from './backoff.ts';
import { believedRoots, joinRoots } from './believed-roots.ts';
import { credentialsComplaint } from './check-credentials.ts';
import type { Clocks } from './clocks.ts';
import { bearing, type ControlEndpoint, callCode, callFailure, openControlConnection } from './control-endpoint.ts';
import type { ControlLog } from './control-log.ts';
import { requestCertificate } from './request-certificate.ts';
import type { HeldCertificate, StateDirectory, StoredIdentity } from './state-directory.ts';
import { wait } from './wait.ts';

/** While the first certificate is missing, the reason is logged this often at most. */
const WAIT_LOG_INTERVAL_MS = 5_000;

export interface CertificateOptions {
  readonly endpoint: ControlEndpoint;
  readonly identity: SpiffeId;
  /** The join token as it is now; undefined: there is none. */
  readonly token: () => Promise<string | undefined>;
  readonly state: StateDirectory | undefined;
  readonly log: ControlLog;
  readonly clocks: Clocks;
  readonly renewals: RenewalRecord;
}

/** A certificate to begin with, and the roots by which the control plane is believed; PEM. */
export interface FirstCertificate {
  readonly held: HeldCertificate;
  readonly rootsPem: string;
}

/** From the state directory, else by token, as often as it takes. Undefined: the signal was aborted meanwhile. */
export async function firstCertificate(
  options: CertificateOptions,
  signal: AbortSignal,
): Promise<FirstCertificate | undefined> {
  const { endpoint, state, log, identity } = options;
  const { value: stored, complaint } = (await state?.readIdentity(identity)) ?? {};
  if (complaint !== undefined) log('stored_identity_not_used', { reason: complaint });
  const rootsPem = believedRoots(endpoint.trustBundlePem, stored);
  const kept = usable(stored, options);
  if (kept !== undefined) return { held: kept, rootsPem };
  const enrolled = await enroll(options, rootsPem, signal);
  if (enrolled === undefined) return undefined;
  return { held: enrolled, rootsPem: joinRoots(endpoint.trustBundlePem, enrolled.credentials.trustBundlePem) };
}

/**
 * The stored credentials, where they are whole, this identity's, and have not ended. Of which root they are says nothing about whom to
 * believe: one that is no longer configured may be the mesh's still, and where it is not the control plane refuses them.
 */
function usable(
  stored: StoredIdentity | undefined,
  { endpoint, log, clocks }: CertificateOptions,
): HeldCertificate | undefined {
  if (stored === undefined) return undefined;
  const { credentials } = stored;
  const rootsPem = joinRoots(endpoint.trustBundlePem, credentials.trustBundlePem);
  const complaint = credentialsComplaint(credentials, rootsPem, clocks.now());
  if (complaint !== undefined) {
    log('stored_identity_not_used', { reason: complaint });
    return undefined;
  }
  const expiresAt = new Date(credentials.expiresAtMs).toISOString();
  log('stored_identity_in_use', { identity: credentials.identity.uri, expiresAt });
  return stored;
}

async function enroll(
  options: CertificateOptions,
  rootsPem: string,
  signal: AbortSignal,
): Promise<HeldCertificate | undefined> {
  const { identity, token, log, clocks } = options;
  const endpoint = { ...options.endpoint, trustBundlePem: rootsPem };
  const backoff = new Backoff();
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let loggedReason = '';
  while (!signal.aborted) {
    const text = await token();
    let reason =
      'there is no join token and no stored identity; issue a token with `lateral token` and name its file in controlPlane.tokenFile';
    let code = {};
    if (text !== undefined) {
      try {
        return await enrollOnce(options, endpoint, text);
      } catch (error) {
        reason = callFailure(error);
        code = callCode(error);
      }
    }
    const atMs = clocks.monotonicNow();
    if (reason !== loggedReason || atMs - loggedAtMs >= WAIT_LOG_INTERVAL_MS) {
      log('waiting_for_certificate', { controlPlane: endpoint.address, identity: identity.uri, reason, ...code });
      loggedAtMs = atMs;
      loggedReason = reason;
    }
    await wait(backoff.next(), signal);
  }
  return undefined;
}

async function enrollOnce(
  options: CertificateOptions,
  endpoint: ControlEndpoint,
  token: string,
): Promise<HeldCertificate> {
  const { identity, clocks } = options;
  const connection = openControlConnection(endpoint, undefined);
  try {
    const credentials = await requestCertificate(connection, bearing(token), { identity, nowMs: clocks.now() });
    const held = { credentials, receivedAtMs: clocks.now(), areRootsOfMesh: false };
    sayInUse(credentials, options.log);
    await storeIdentity(held, options);
    return held;
  } finally {
    connection.close();
  }
}

export function sayInUse({ identity, expiresAtMs }: Credentials, log: ControlLog): void {
  log('certificate_in_use', { identity: identity.uri, expiresAt: new Date(expiresAtMs).toISOString() });
}

/** Keeps it across restarts, where there is a state directory. */
export async function storeIdentity(
  held: HeldCertificate,
  { endpoint, state, log }: CertificateOptions,
): Promise<void> {
  try {
    await state?.writeIdentity({ ...held, configuredRootsPem: endpoint.trustBundlePem });
  } catch (error) {
    log('identity_not_stored', { reason: String(error) });
  }
}
