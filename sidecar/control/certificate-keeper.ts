import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { CredentialSource, Credentials } from '../identity/credentials.ts';
import { Backoff } from './backoff.ts';
import { believedRoots, joinRoots } from './believed-roots.ts';
import { credentialsComplaint } from './check-credentials.ts';
import { type ControlEndpoint, callCode, callFailure } from './control-endpoint.ts';
import type { ControlLog } from './control-log.ts';
import { type Proof, requestCertificate } from './request-certificate.ts';
import type { StateDirectory, StoredIdentity } from './state-directory.ts';
import { wait } from './wait.ts';

/** Share of the remaining life after which the certificate is renewed, and how far jitter moves it. */
const RENEWAL_SHARE = 0.5;
const RENEWAL_JITTER = 0.1;
/** Longest wait between attempts to renew. */
const MAX_RENEWAL_BACKOFF_MS = 5 * 60_000;
/** Shortest wait before a renewal, whatever the lifetime. */
const MIN_RENEWAL_WAIT_MS = 500;
/** Longest delay of a Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** While the first certificate is missing, the reason is logged this often at most. */
const WAIT_LOG_INTERVAL_MS = 5_000;

export interface CertificateKeeperOptions {
  readonly endpoint: ControlEndpoint;
  readonly identity: SpiffeId;
  /** The join token as it is now; undefined: there is none. */
  readonly token: () => Promise<string | undefined>;
  readonly state: StateDirectory | undefined;
  readonly log: ControlLog;
  readonly now: () => number;
}

/**
 * Gets the sidecar its first certificate (from the state directory, else by token, as often as it takes) and
 * returns the source that renews it. Resolves early, without a source, when the signal is aborted.
 */
export async function keepCertificate(
  options: CertificateKeeperOptions,
  signal: AbortSignal,
): Promise<CertificateKeeper | undefined> {
  const { endpoint, state, log, identity } = options;
  const { value: stored, complaint } = (await state?.readIdentity(identity)) ?? {};
  if (complaint !== undefined) log('stored_identity_not_used', { reason: complaint });
  const rootsPem = believedRoots(endpoint.trustBundlePem, stored);
  const kept = usableCredentials(stored, rootsPem, options);
  if (kept !== undefined) return new CertificateKeeper(kept, rootsPem, options);
  const enrolled = await enroll(options, rootsPem, signal);
  if (enrolled === undefined) return undefined;
  return new CertificateKeeper(enrolled, joinRoots(endpoint.trustBundlePem, enrolled.trustBundlePem), options);
}

/** The stored credentials, where they are this identity's, of a believed root, and have not ended. */
function usableCredentials(
  stored: StoredIdentity | undefined,
  rootsPem: string,
  { log, now }: CertificateKeeperOptions,
): Credentials | undefined {
  if (stored === undefined) return undefined;
  const { credentials } = stored;
  const complaint = credentialsComplaint(credentials, rootsPem, now());
  if (complaint !== undefined) {
    log('stored_identity_not_used', { reason: complaint });
    return undefined;
  }
  const expiresAt = new Date(credentials.expiresAtMs).toISOString();
  log('stored_identity_in_use', { identity: credentials.identity.uri, expiresAt });
  return credentials;
}

async function enroll(
  options: CertificateKeeperOptions,
  rootsPem: string,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const { identity, token, log, now } = options;
  const endpoint = { ...options.endpoint, trustBundlePem: rootsPem };
  const backoff = new Backoff();
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let loggedReason = '';
  while (!signal.aborted) {
    const text = await token();
    let reason: string;
    let code = {};
    if (text === undefined) {
      reason =
        'there is no join token and no stored identity; issue a token with `lateral token` and name its file in controlPlane.tokenFile';
    } else {
      try {
        return await store(
          await requestCertificate(endpoint, identity, { kind: 'token', token: text }, now()),
          options,
        );
      } catch (error) {
        reason = callFailure(error);
        code = callCode(error);
      }
    }
    if (reason !== loggedReason || now() - loggedAtMs >= WAIT_LOG_INTERVAL_MS) {
      log('waiting_for_certificate', { controlPlane: endpoint.address, identity: identity.uri, reason, ...code });
      loggedAtMs = now();
      loggedReason = reason;
    }
    await wait(backoff.next(), signal);
  }
  return undefined;
}

async function store(
  credentials: Credentials,
  { endpoint, state, log }: CertificateKeeperOptions,
): Promise<Credentials> {
  log('certificate_in_use', {
    identity: credentials.identity.uri,
    expiresAt: new Date(credentials.expiresAtMs).toISOString(),
  });
  try {
    await state?.writeIdentity(credentials, endpoint.trustBundlePem);
  } catch (error) {
    log('identity_not_stored', { reason: String(error) });
  }
  return credentials;
}

/** Renews the certificate, with a new key, at half of its life; the old one serves until its end. */
export class CertificateKeeper implements CredentialSource {
  readonly #options: CertificateKeeperOptions;
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  readonly #ended = new AbortController();
  #current: Credentials;
  /** By which the control plane is believed where a token is sent to it. */
  #rootsPem: string;

  constructor(first: Credentials, rootsPem: string, options: CertificateKeeperOptions) {
    this.#current = first;
    this.#rootsPem = rootsPem;
    this.#options = options;
    void this.#renewForever();
  }

  current(): Credentials {
    return this.#current;
  }

  onRenewal(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#ended.abort();
    this.#listeners.clear();
  }

  async #renewForever(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await wait(this.#renewalWaitMs(), signal);
      const backoff = new Backoff(Math.random, MAX_RENEWAL_BACKOFF_MS);
      while (!signal.aborted && !(await this.#renew())) await wait(this.#retryWaitMs(backoff), signal);
    }
  }

  async #renew(): Promise<boolean> {
    const { identity, log, now } = this.#options;
    try {
      const endpoint = { ...this.#options.endpoint, trustBundlePem: this.#rootsPem };
      const renewed = await store(
        await requestCertificate(endpoint, identity, await this.#proof(), now()),
        this.#options,
      );
      this.#current = renewed;
      this.#rootsPem = joinRoots(this.#options.endpoint.trustBundlePem, renewed.trustBundlePem);
      for (const listener of [...this.#listeners]) listener(renewed);
      return true;
    } catch (error) {
      const expiresAt = new Date(this.#current.expiresAtMs).toISOString();
      const isExpired = this.#current.expiresAtMs <= now();
      log(isExpired ? 'certificate_expired' : 'renewal_failed', {
        identity: identity.uri,
        expiresAt,
        reason: callFailure(error),
        ...callCode(error),
      });
      return false;
    }
  }

  /** The certificate while it is valid; after its end only a token helps. */
  async #proof(): Promise<Proof> {
    if (this.#current.expiresAtMs > this.#options.now()) return { kind: 'certificate', credentials: this.#current };
    const token = await this.#options.token();
    if (token !== undefined) return { kind: 'token', token };
    throw new Error('the certificate has expired and there is no join token');
  }

  #renewalWaitMs(): number {
    const share = RENEWAL_SHARE + RENEWAL_JITTER * (2 * Math.random() - 1);
    const waitMs = (this.#current.expiresAtMs - this.#options.now()) * share;
    return Math.min(MAX_TIMER_MS, Math.max(MIN_RENEWAL_WAIT_MS, waitMs));
  }

  /** Close to the end attempts come closer together. */
  #retryWaitMs(backoff: Backoff): number {
    const restMs = Math.max(this.#current.expiresAtMs - this.#options.now(), 0);
    return Math.max(MIN_RENEWAL_WAIT_MS, Math.min(backoff.next(), restMs / 4 + MIN_RENEWAL_WAIT_MS));
  }
}
