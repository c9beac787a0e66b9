import { type Client, Metadata } from '@grpc/grpc-js';
import type { CredentialSource, Credentials } from '../identity/credentials.ts';
import { Backoff } from './backoff.ts';
import { joinRoots } from './believed-roots.ts';
import { endsInRoot } from './check-credentials.ts';
import { waitUntil } from './clocks.ts';
import { bearing, type ControlEndpoint, callCode, callFailure, openControlConnection } from './control-endpoint.ts';
import { BothProofsRefused, failureCode, isProofRefused, NoProof } from './failure-code.ts';
import {
  type CertificateOptions,
  type FirstCertificate,
  firstCertificate,
  sayInUse,
  storeIdentity,
} from './first-certificate.ts';
import { MAX_RENEWAL_BACKOFF_MS, renewalDueMs, retryWaitMs } from './renewal-times.ts';
import { type CertificateWish, RENEWAL_TIMEOUT_MS, requestCertificate } from './request-certificate.ts';
import type { HeldCertificate } from './state-directory.ts';
import { wait } from './wait.ts';

/** A renewal that is due while no connection is open waits so long for one, where there is time. */
const OPEN_CONNECTION_WAIT_MS = 10_000;
const WAITS_WITH_LIFE_LEFT_MS = 12 * OPEN_CONNECTION_WAIT_MS;

/** Within this time all sidecars whose certificate is of a root that is trusted no longer ask for another. */
const EARLY_RENEWAL_SPREAD_MS = 5_000;
/** A certificate is renewed early no sooner than this after its receipt, should each one be refused. */
const MIN_EARLY_RENEWAL_MS = 5_000;

/**
 * Gets the sidecar its first certificate and returns the source that renews it. Resolves early, without a source, when the
 * signal is aborted.
 */
export async function keepCertificate(
  options: CertificateOptions,
  signal: AbortSignal,
): Promise<CertificateKeeper | undefined> {
  const first = await firstCertificate(options, signal);
  return first === undefined ? undefined : new CertificateKeeper(first, options);
}

/**
 * Renews the certificate, with a new key, at half of the life it had when it was received; the old one serves until its end. Whom to
 * believe is what the control plane said last: with a certificate, until it has published the roots of the mesh; those from then on.
 */
export class CertificateKeeper implements CredentialSource {
  readonly #options: CertificateOptions;
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  readonly #ended = new AbortController();
  #held: HeldCertificate;
  #dueMs: number;
  /** By which the control plane is believed; PEM. */
  #rootsPem: string;
  /** The chain that was refused last: each is renewed early once. */
  #refusedChainPem: string | undefined;
  #stored: Promise<void> = Promise.resolve();
  /** A connection that is open anyway, by whose certificate the control plane knows this sidecar. */
  #open: Client | undefined;
  #onOpen: () => void = () => {};

  constructor({ held, rootsPem }: FirstCertificate, options: CertificateOptions) {
    this.#held = held;
    this.#rootsPem = rootsPem;
    this.#options = options;
    options.renewals.receivedAtMs = held.receivedAtMs;
    this.#dueMs = this.#dueOf(held);
    if (!this.#isOfBelievedRoot()) this.#renewEarly();
    void this.#renewForever();
  }

  current(): Credentials {
    return this.#held.credentials;
  }

  /** Where the control plane is, and by whose word it is believed now. */
  get endpoint(): ControlEndpoint {
    return { ...this.#options.endpoint, trustBundlePem: this.#rootsPem };
  }

  onRenewal(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks for certificates over this connection from now on; returns the function that ends it. */
  askOver(connection: Client): () => void {
    this.#open = connection;
    this.#onOpen();
    return () => {
      if (this.#open === connection) this.#open = undefined;
    };
  }

  /** The mesh has published its roots (PEM): they alone count from now on. A certificate that is of none of them is renewed soon. */
  trust(rootsPem: string): void {
    const { credentials, areRootsOfMesh } = this.#held;
    if (areRootsOfMesh && credentials.trustBundlePem === rootsPem) return;
    this.#rootsPem = rootsPem;
    const trusting = { ...this.#held, credentials: { ...credentials, trustBundlePem: rootsPem }, areRootsOfMesh: true };
    const isOther = credentials.trustBundlePem !== rootsPem;
    this.#held = trusting;
    this.#store();
    if (!isOther) return;
    this.#tell();
    if (endsInRoot(credentials.certificateChainPem, rootsPem)) return;
    const { log, identity } = this.#options;
    log('certificate_of_retired_root', { identity: identity.uri });
    this.#renewEarly();
  }

  /** The control plane has refused these credentials: where they are in use still, others are needed. */
  noteRefused({ certificateChainPem }: Credentials): void {
    const { certificateChainPem: current } = this.current();
    if (certificateChainPem !== current || certificateChainPem === this.#refusedChainPem) return;
    this.#refusedChainPem = certificateChainPem;
    this.#renewEarly();
  }

  close(): void {
    this.#ended.abort();
    this.#listeners.clear();
  }

  /** Resolves once what is to be kept across restarts is. */
  get stored(): Promise<void> {
    return this.#stored;
  }

  async #renewForever(): Promise<void> {
    const { signal } = this.#ended;
    const { clocks } = this.#options;
    while (!signal.aborted) {
      await waitUntil(() => this.#dueMs, clocks, signal);
      const backoff = new Backoff(Math.random, MAX_RENEWAL_BACKOFF_MS);
      while (!signal.aborted && !(await this.#renew())) {
        this.#dueMs = clocks.now() + retryWaitMs(backoff.next(), this.current().expiresAtMs - clocks.now());
        await waitUntil(() => this.#dueMs, clocks, signal);
      }
    }
  }

  async #renew(): Promise<boolean> {
    const { log, clocks, renewals } = this.#options;
    try {
      const signed = await this.#request();
      if (this.#ended.signal.aborted) return true;
      const receivedAtMs = clocks.now();
      const { areRootsOfMesh, credentials: before } = this.#held;
      const credentials = areRootsOfMesh ? { ...signed, trustBundlePem: before.trustBundlePem } : signed;
      this.#held = { credentials, receivedAtMs, areRootsOfMesh };
      this.#dueMs = this.#dueOf(this.#held);
      if (!areRootsOfMesh) this.#rootsPem = joinRoots(this.#options.endpoint.trustBundlePem, signed.trustBundlePem);
      renewals.noteRenewed(receivedAtMs);
      sayInUse(credentials, log);
      this.#store();
      this.#tell();
      return true;
    } catch (error) {
      const { identity, expiresAtMs } = this.current();
      const nowMs = clocks.now();
      renewals.noteFailed({ code: failureCode(error), reason: callFailure(error), atMs: nowMs });
      log(expiresAtMs <= nowMs ? 'certificate_expired' : 'renewal_failed', {
        identity: identity.uri,
        expiresAt: new Date(expiresAtMs).toISOString(),
        clock: new Date(nowMs).toISOString(),
        failures: renewals.failureCount,
        reason: callFailure(error),
        ...callCode(error instanceof BothProofsRefused ? error.cause : error),
      });
      return false;
    }
  }

  /** By the certificate while it is valid; by token after its end, and where the control plane does not take it, as one of a retired root. */
  async #request(): Promise<Credentials> {
    const open = this.#open ?? (await this.#connectionSoon());
    if (this.current().expiresAtMs <= this.#options.clocks.now()) return this.#requestByToken(await this.#token());
    try {
      return await this.#requestByCertificate(open);
    } catch (error) {
      if (this.#isOfBelievedRoot() && !isProofRefused(error)) throw error;
      const token = await this.#options.token();
      if (token === undefined) throw error;
      return await this.#requestByToken(token).catch((byToken: unknown) => {
        throw new BothProofsRefused(error, byToken);
      });
    }
  }

  /** Over the connection that is open, where one is. */
  async #requestByCertificate(open: Client | undefined): Promise<Credentials> {
    if (open !== undefined) {
      try {
        return await requestCertificate(open, new Metadata(), this.#wish());
      } catch (error) {
        // where it answers too late or refuses, another connection would only be more work for it
        if (failureCode(error) === 'unavailable' && this.#open === open) this.#open = undefined;
        throw error;
      }
    }
    return this.#requestOver(openControlConnection(this.endpoint, this.current()), new Metadata());
  }

  #requestByToken(token: string): Promise<Credentials> {
    return this.#requestOver(openControlConnection(this.endpoint, undefined), bearing(token));
  }

  async #requestOver(connection: Client, metadata: Metadata): Promise<Credentials> {
    try {
      return await requestCertificate(connection, metadata, this.#wish());
    } finally {
      connection.close();
    }
  }

  #wish(): CertificateWish {
    const { identity, clocks } = this.#options;
    return { identity, nowMs: clocks.now(), timeoutMs: RENEWAL_TIMEOUT_MS };
  }

  /**
   * After a control plane has started anew each sidecar comes back to it anyway: another connection, for a renewal that is due just then, would
   * cost it as much again. Undefined: none came, the last attempt over one failed, or the certificate is about to end.
   */
  async #connectionSoon(): Promise<Client | undefined> {
    const { clocks, renewals } = this.#options;
    const isPressing = this.current().expiresAtMs - clocks.now() < WAITS_WITH_LIFE_LEFT_MS;
    if (isPressing || !this.#isOfBelievedRoot() || renewals.failure !== undefined) return undefined;
    const opened = new AbortController();
    this.#onOpen = () => opened.abort();
    await wait(OPEN_CONNECTION_WAIT_MS, AbortSignal.any([opened.signal, this.#ended.signal]));
    this.#onOpen = () => {};
    return this.#open;
  }

  async #token(): Promise<string> {
    const token = await this.#options.token();
    if (token !== undefined) return token;
    throw new NoProof('the certificate has expired and there is no join token');
  }

  /** One after the other: the last is what is kept. */
  #store(): void {
    this.#stored = this.#stored.then(() => storeIdentity(this.#held, this.#options));
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener(this.current());
  }

  #isOfBelievedRoot(): boolean {
    return endsInRoot(this.current().certificateChainPem, this.#rootsPem);
  }

  #renewEarly(): void {
    const nowMs = this.#options.clocks.now();
    const notBeforeMs = Math.min(this.#held.receivedAtMs, nowMs) + MIN_EARLY_RENEWAL_MS;
    this.#dueMs = Math.min(this.#dueMs, Math.max(notBeforeMs, nowMs + Math.random() * EARLY_RENEWAL_SPREAD_MS));
  }

  #dueOf({ receivedAtMs, credentials }: HeldCertificate): number {
    return renewalDueMs(Math.min(receivedAtMs, this.#options.clocks.now()), credentials.expiresAtMs);
  }
}
