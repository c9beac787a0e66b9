import { constants, hkdfSync, randomBytes } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { compileTrust, NOBODY_REVOKED, type PeerTrust } from '#policy/trust/peer-trust.ts';
import { PeerVerdicts, type ProvenPeer } from '#policy/trust/peer-verdicts.ts';
import type { TlsVersion, WorkloadPolicy } from '#policy/workload-policy.ts';
import { sha256Of } from '#policy/x509/sent-chain.ts';
import type { PeerTls } from '../http/dial.ts';
import type { VerifiedCertificate } from '../http/message.ts';
import type { TlsCounts } from '../telemetry/tls-gauges.ts';
import { connectionLife } from './connection-life.ts';
import type { CredentialSource, Credentials } from './credentials.ts';
import { chainOf } from './peer-chain.ts';
import { ProvenConnections } from './proven-connections.ts';
import { type Session, SessionCache } from './session-cache.ts';

/** Node's form of session ticket keys: name, HMAC key and AES key. */
const TICKET_KEY_BYTES = 48;
/** TLS 1.2, where a policy allows it: forward secrecy and authenticated encryption alone (RFC 9325 §4.2); the first three are those of 1.3. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

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

/** TLS of both directions: own certificates, whom to believe, and the connections that stand on either. */
export class TlsContexts {
  readonly #source: CredentialSource;
  readonly #policy: TlsPolicy;
  readonly #ticketSecret = randomBytes(TICKET_KEY_BYTES);
  readonly #now: () => number;
  readonly #verdicts = new PeerVerdicts(() => this.#trust);
  readonly #sessions = new SessionCache();
  readonly #proven: ProvenConnections;
  readonly #listeners: (() => void)[] = [];
  readonly #handshakes = { inbound: { full: 0, resumed: 0 }, outbound: { full: 0, resumed: 0 } };
  #trust: PeerTrust;
  #minVersion: TlsVersion;
  #client: SecureContext;

  constructor(source: CredentialSource, policy: TlsPolicy, now: () => number = Date.now) {
    this.#source = source;
    this.#policy = policy;
    this.#now = now;
    this.#proven = new ProvenConnections(now);
    this.#trust = this.#trustNow(source.current());
    this.#minVersion = this.#minVersionNow;
    this.#client = createSecureContext(this.#options(source.current()));
    source.onRenewal(() => this.#refresh(true));
    policy.onChange(() => this.#refresh(false));
  }

  /** Whom to believe now. */
  get trust(): PeerTrust {
    return this.#trust;
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
    const credentials = this.#source.current();
    return { ...this.#options(credentials), ticketKeys: ticketKeys(credentials, this.#ticketSecret) };
  }

  /**
   * Judges a caller's certificate once a connection, before a byte of what it says is read; its connection is cut when that ends or is
   * believed no longer. `ownEndMs`: of the certificate that was shown to it. Refuses: no_client_certificate, and the codes of verifyPeer.
   */
  acceptCaller(socket: TLSSocket, ownEndMs: number): VerifiedCertificate {
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) throw new Refusal('no_client_certificate', 'the caller presented no certificate');
    const nowMs = this.#now();
    const own = this.#source.current();
    const judgement = this.#verdicts.judge(sha256Of(leaf), () => chainOf(leaf, own), 'client', nowMs);
    if (judgement.kind === 'refused') throw new Refusal(judgement.code, judgement.reason);
    const { peer } = judgement;
    count(this.#handshakes.inbound, socket.isSessionReused());
    return this.#keep(socket, peer, Math.min(ownEndMs, peer.notAfterMs), nowMs);
  }

  /** When the certificate that is shown now ends; milliseconds since the epoch. */
  get ownEndMs(): number {
    return this.#source.current().expiresAtMs;
  }

  /** For connections to a peer that must prove `expected`. */
  peer(expected: SpiffeId, { address, port, localAddress }: PeerPlace): PeerTls {
    const key = `${address}|${port}|${expected.uri}`;
    return {
      localAddress,
      begin: () => {
        const own = this.#source.current();
        const offered = this.#offer(key, own);
        return {
          context: this.#client,
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
    return this.#trust.canonical(proven).uri === this.#trust.canonical(expected).uri;
  }

  #keep(socket: TLSSocket, peer: ProvenPeer, endAtMs: number, nowMs: number): VerifiedCertificate {
    const life = connectionLife(endAtMs, nowMs);
    this.#proven.add(socket, peer, life);
    return { identity: peer.id, sha256: peer.sha256, peer, life };
  }

  #refresh(isRenewal: boolean): void {
    const [trust, minVersion] = [this.#trust, this.#minVersion];
    const credentials = this.#source.current();
    this.#trust = this.#trustNow(credentials);
    this.#minVersion = this.#minVersionNow;
    const isTrustOther = this.#trust !== trust;
    if (!isRenewal && !isTrustOther && this.#minVersion === minVersion) return;
    this.#client = createSecureContext(this.#options(credentials));
    if (isTrustOther) this.#proven.judgeAgain((peer, nowMs) => this.#verdicts.judgeAgain(peer, nowMs));
    for (const listener of this.#listeners) listener();
  }

  /** What the control plane says; standalone the roots beside the own certificate. The same object while both say the same. */
  #trustNow(credentials: Credentials): PeerTrust {
    const given = this.#policy.inForce?.trust;
    if (given !== undefined) return given;
    const { identity, trustBundlePem, federated = [] } = credentials;
    const known = ownTrusts.get(credentials);
    if (known !== undefined) return known;
    const own = { trustDomain: identity.trustDomain, rootsPem: trustBundlePem };
    const trust = compileTrust([own, ...federated], [], NOBODY_REVOKED);
    ownTrusts.set(credentials, trust);
    return trust;
  }

  get #minVersionNow(): TlsVersion {
    return this.#policy.inForce?.defaults.minTlsVersion ?? 'TLSv1.3';
  }

  #options(credentials: Credentials): SecureContextOptions {
    return {
      cert: credentials.certificateChainPem,
      key: credentials.privateKeyPem,
      ca: this.#trust.rootsPem,
      minVersion: this.#minVersion,
      ciphers: CIPHERS,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    };
  }
}

function count(handshakes: { full: number; resumed: number }, isResumed: boolean): void {
  if (isResumed) handshakes.resumed++;
  else handshakes.full++;
}

/** Trust by the credentials alone, made once for each. */
const ownTrusts = new WeakMap<Credentials, PeerTrust>();

/**
 * Others when the own key is another, so that no session is older than the certificate it was begun with. `secret`: of this thread, since
 * another does not know the chain that the session began with; gone with the process, so that a key that is stolen later opens no session
 * of TLS 1.2 (RFC 5077 §5.5).
 */
function ticketKeys({ privateKeyPem }: Credentials, secret: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', privateKeyPem, secret, 'lateral session tickets', TICKET_KEY_BYTES));
}
