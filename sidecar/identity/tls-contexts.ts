import { randomBytes } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { PeerTrust } from '#policy/trust/peer-trust.ts';
import { PeerVerdicts, type ProvenPeer } from '#policy/trust/peer-verdicts.ts';
import type { TlsVersion, WorkloadPolicy } from '#policy/workload-policy.ts';
import { sha256Of } from '#policy/x509/sent-chain.ts';
import type { PeerTls } from '../http/dial.ts';
import type { VerifiedCertificate } from '../http/message.ts';
import { logEvent } from '../operational-log.ts';
import type { TlsCounts } from '../telemetry/tls-gauges.ts';
import { connectionLife, endSoon } from './connection-life.ts';
import { contextOptions, TICKET_KEY_BYTES, ticketKeys } from './context-options.ts';
import type { CredentialSource, Credentials } from './credentials.ts';
import { chainOf } from './peer-chain.ts';
import { isBelow, ProvenConnections } from './proven-connections.ts';
import { type Session, SessionCache } from './session-cache.ts';
import { trustByCredentials } from './usable-credentials.ts';

/** The law in force, as far as TLS goes. */
export interface TlsPolicy {
  /** Undefined: there is none yet. */
  readonly inForce:
    | (Pick<WorkloadPolicy, 'trust'> & { readonly defaults: Pick<WorkloadPolicy['defaults'], 'minTlsVersion'> })
    | undefined;
  /** Calls back each time that another law has come in force, before anything is decided by it. */
  onChange(listener: () => void): void;
}

/** Where a peer is reached. */
export interface PeerPlace {
  readonly address: string;
  readonly port: number;
  /** Where connections come from; undefined: the system chooses. */
  readonly localAddress: string | undefined;
}

/** What handshakes are made with, and judged by. Replaced as a whole. */
interface Basis {
  readonly own: Credentials;
  readonly trust: PeerTrust;
  readonly minVersion: TlsVersion;
  readonly options: SecureContextOptions;
  readonly client: SecureContext;
}

/** TLS of both directions: own certificates, whom to believe, and the connections that stand on either. */
export class TlsContexts {
  readonly #source: CredentialSource;
  readonly #policy: TlsPolicy;
  readonly #ticketSecret = randomBytes(TICKET_KEY_BYTES);
  readonly #now: () => number;
  readonly #verdicts = new PeerVerdicts(() => this.#basis.trust);
  readonly #sessions = new SessionCache();
  readonly #proven: ProvenConnections;
  readonly #listeners: (() => void)[] = [];
  readonly #handshakes = { inbound: { full: 0, resumed: 0 }, outbound: { full: 0, resumed: 0 } };
  #basis: Basis;
  /** Those that could not be used: said once. */
  #refused: Credentials | undefined;

  constructor(source: CredentialSource, policy: TlsPolicy, now: () => number = Date.now) {
    this.#source = source;
    this.#policy = policy;
    this.#now = now;
    this.#proven = new ProvenConnections(now);
    this.#basis = this.#basisWith(source.current(), undefined);
    source.onRenewal(() => this.#refresh());
    policy.onChange(() => this.#refresh());
  }

  /** Whom to believe now. */
  get trust(): PeerTrust {
    return this.#basis.trust;
  }

  get counts(): TlsCounts {
    return { handshakes: this.#handshakes, cut: this.#proven.cut };
  }

  /** Calls back when listeners are to serve with another context. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** For listeners: what they serve with now. */
  server(): SecureContextOptions {
    const { options, own } = this.#basis;
    return { ...options, ticketKeys: ticketKeys(own, this.#ticketSecret) };
  }

  /**
   * Judges a caller's certificate once a connection, before a byte of what it says is read; its connection is cut when that ends or is
   * believed no longer. `ownEndMs`: of the certificate that was shown to it. Refuses: no_client_certificate, and the codes of verifyPeer.
   */
  acceptCaller(socket: TLSSocket, ownEndMs: number): VerifiedCertificate {
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) throw new Refusal('no_client_certificate', 'the caller presented no certificate');
    const nowMs = this.#now();
    const { own } = this.#basis;
    const judgement = this.#verdicts.judge(sha256Of(leaf), () => chainOf(leaf, own), 'client', nowMs);
    if (judgement.kind === 'refused') throw new Refusal(judgement.code, judgement.reason);
    const { peer } = judgement;
    count(this.#handshakes.inbound, socket.isSessionReused());
    return this.#keep(socket, peer, Math.min(ownEndMs, peer.notAfterMs), nowMs);
  }

  /** When the certificate that is shown now ends; milliseconds since the epoch. */
  get ownEndMs(): number {
    return this.#basis.own.expiresAtMs;
  }

  /** For connections to a peer that must prove `expected`. */
  peer(expected: SpiffeId, { address, port, localAddress }: PeerPlace): PeerTls {
    const key = `${address}|${port}|${expected.uri}`;
    return {
      localAddress,
      begin: () => {
        const { own, client } = this.#basis;
        const offered = this.#offer(key, own);
        return {
          context: client,
          session: offered?.ticket,
          accept: (socket) => this.#acceptServer(socket, expected, own, offered),
          keepSession: (ticket, certificate) => {
            const { peer, life } = certificate;
            this.#sessions.keep(key, { ticket, peer, own, ownEndMs: Math.min(own.expiresAtMs, life.endAtMs) });
          },
        };
      },
    };
  }

  close(): void {
    this.#proven.close();
  }

  /** A session whose peer would be believed now; of another the certificate is asked for anew. */
  #offer(key: string, own: Credentials): Session | undefined {
    const session = this.#sessions.find(key, own);
    if (session === undefined) return undefined;
    if (this.#verdicts.judgeAgain(session.peer, this.#now()).kind === 'accepted') return session;
    this.#sessions.forget(key);
    return undefined;
  }

  /** Of a handshake that was resumed Node knows no certificate: the peer proved that it has the session, and so that it is who it was then. */
  #acceptServer(
    socket: TLSSocket,
    expected: SpiffeId,
    own: Credentials,
    offered: Session | undefined,
  ): VerifiedCertificate {
    const nowMs = this.#now();
    const isResumed = socket.isSessionReused() && offered !== undefined;
    const judgement = isResumed
      ? this.#verdicts.judgeAgain(offered.peer, nowMs)
      : this.#judgeServer(socket, own, nowMs);
    if (judgement.kind === 'refused') throw new Refusal(judgement.code, judgement.reason);
    const { peer } = judgement;
    if (!this.#isSame(peer.id, expected)) {
      throw new Refusal('upstream_identity_mismatch', `proved ${peer.id.uri}, expected ${expected.uri}`);
    }
    count(this.#handshakes.outbound, isResumed);
    const ownEndMs = isResumed ? offered.ownEndMs : own.expiresAtMs;
    return this.#keep(socket, peer, Math.min(ownEndMs, peer.notAfterMs), nowMs);
  }

  #judgeServer(socket: TLSSocket, own: Credentials, nowMs: number) {
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) throw new Refusal('malformed_certificate', 'the peer presented no certificate');
    return this.#verdicts.judge(sha256Of(leaf), () => chainOf(leaf, own), 'server', nowMs);
  }

  #isSame(proven: SpiffeId, expected: SpiffeId): boolean {
    if (proven.uri === expected.uri) return true;
    return this.trust.canonical(proven).uri === this.trust.canonical(expected).uri;
  }

  #keep(socket: TLSSocket, peer: ProvenPeer, endAtMs: number, nowMs: number): VerifiedCertificate {
    const life = connectionLife(endAtMs, nowMs);
    if (isBelow(socket, this.#basis.minVersion)) endSoon(life, nowMs); // the handshake began before that was raised
    this.#proven.add(socket, peer, life);
    return { identity: peer.id, sha256: peer.sha256, peer, life };
  }

  #refresh(): void {
    const before = this.#basis;
    const after = this.#basisNow(before);
    this.#basis = after;
    if (after.trust !== before.trust) this.#proven.judgeAgain((peer, nowMs) => this.#verdicts.judgeAgain(peer, nowMs));
    if (after.minVersion !== before.minVersion) this.#proven.endBelow(after.minVersion);
    if (after.client === before.client) return;
    for (const listener of this.#listeners) listener();
  }

  /** With credentials that cannot be used those of before go on, under the law of now. */
  #basisNow(before: Basis): Basis {
    const credentials = this.#source.current();
    if (credentials !== this.#refused) {
      try {
        return this.#basisWith(credentials, before);
      } catch (error) {
        this.#refused = credentials;
        logEvent('credentials_refused', { message: error instanceof Error ? error.message : String(error) });
      }
    }
    return this.#basisWith(before.own, before);
  }

  /** Throws where the credentials cannot be used. Contexts take long to make, and stay where only revocations are others. */
  #basisWith(own: Credentials, before: Basis | undefined): Basis {
    const trust = this.#policy.inForce?.trust ?? trustByCredentials(own);
    const minVersion = this.#policy.inForce?.defaults.minTlsVersion ?? 'TLSv1.3';
    const isSame =
      own === before?.own && minVersion === before.minVersion && trust.rootsText === before.trust.rootsText;
    if (isSame) return { ...before, trust };
    const options = contextOptions(own, trust, minVersion);
    return { own, trust, minVersion, options, client: createSecureContext(options) };
  }
}

function count(handshakes: { full: number; resumed: number }, isResumed: boolean): void {
  if (isResumed) handshakes.resumed++;
  else handshakes.full++;
}
