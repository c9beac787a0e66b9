import type { Endpoint } from '#policy/workload-policy.ts';
import type { PeerTls } from '../http/dial.ts';
import type { Upstream } from '../http/message.ts';
import type { EndpointLoad } from './choose-endpoint.ts';

/** Idle endpoints keep their pool this long after their last request. */
const IDLE_POOL_MS = 300_000;
const SWEEP_INTERVAL_MS = 30_000;
/** An endpoint that was called in plaintext so lately has become one of mutual TLS just now. */
const PLAINTEXT_LATELY_MS = 10_000;
/** How much later than this sidecar the one there may hear of it; see `PeerTls.settledAt`. */
const TLS_SETTLES_MS = 2_000;

/** An endpoint that no request went to yet. */
const UNUSED: EndpointLoad = Object.freeze({ inFlight: 0, unreachableUntil: 0 });

/** A pool's own, since a port may leave DISABLE again and again while the pool is kept. */
interface SettlingTls extends PeerTls {
  settledAt: number;
}

interface Peer {
  readonly upstream: Upstream;
  /** How it is reached; undefined: in plaintext. */
  readonly tls: SettlingTls | undefined;
  readonly load: EndpointLoad;
  usedAt: number;
}

/**
 * Makes the codec that talks to an endpoint; `tls` absent: plaintext (AllowAny, endpoints outside of the mesh, or DISABLE).
 * `endpoint`: of a service; absent: it is where some host led.
 */
export type MakeUpstream = (
  address: string,
  port: number,
  tls: PeerTls | undefined,
  endpoint: Endpoint | undefined,
) => Upstream;

/** The connections to every endpoint in use, by address and the identity that must answer there. */
export class PeerPools {
  readonly #peers = new Map<string, Peer>();
  /** The same by endpoint, without making a key for each request; emptied when a pool is closed. */
  #byEndpoint = new WeakMap<Endpoint, Peer>();
  readonly #make: MakeUpstream;
  readonly #tlsFor: (endpoint: Endpoint) => PeerTls | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(make: MakeUpstream, tlsFor: (endpoint: Endpoint) => PeerTls | undefined) {
    this.#make = make;
    this.#tlsFor = tlsFor;
    this.#timer = setInterval(() => this.#sweep(performance.now()), SWEEP_INTERVAL_MS);
    this.#timer.unref();
  }

  /**
   * The pool of an endpoint that is about to be used; made at first use. Each version of the policy has endpoints of its own, so that
   * one that became TLS just now is new here, whatever is known of its address.
   */
  of(endpoint: Endpoint): Peer {
    const known = this.#byEndpoint.get(endpoint);
    if (known !== undefined) {
      known.usedAt = performance.now();
      return known;
    }
    const made = this.#get(keyOf(endpoint), () => {
      const way = this.#tlsFor(endpoint);
      const tls = way === undefined ? undefined : { ...way, settledAt: 0 };
      return { upstream: this.#make(endpoint.address, endpoint.port, tls, endpoint), tls };
    });
    if (made.tls !== undefined && this.#wasPlaintextLately(endpoint)) made.tls.settledAt = made.usedAt + TLS_SETTLES_MS;
    this.#byEndpoint.set(endpoint, made);
    return made;
  }

  /** What the choice is made by; looking at an endpoint opens no pool for it and keeps none alive. */
  readonly loadOf = (endpoint: Endpoint): EndpointLoad =>
    (this.#byEndpoint.get(endpoint) ?? this.#peers.get(keyOf(endpoint)))?.load ?? UNUSED;

  external(address: string, port: number): Peer {
    return this.#get(`${address}|${port}|external`, () => ({
      upstream: this.#make(address, port, undefined, undefined),
      tls: undefined,
    }));
  }

  close(): void {
    clearInterval(this.#timer);
    for (const peer of this.#peers.values()) peer.upstream.close();
    this.#peers.clear();
  }

  #wasPlaintextLately(endpoint: Endpoint): boolean {
    const plaintext = this.#peers.get(keyOf({ ...endpoint, identity: undefined }));
    return plaintext !== undefined && performance.now() - plaintext.usedAt <= PLAINTEXT_LATELY_MS;
  }

  #get(key: string, make: () => Pick<Peer, 'upstream' | 'tls'>): Peer {
    let peer = this.#peers.get(key);
    if (peer === undefined) {
      peer = { ...make(), load: { inFlight: 0, unreachableUntil: 0 }, usedAt: 0 };
      this.#peers.set(key, peer);
    }
    peer.usedAt = performance.now();
    return peer;
  }

  #sweep(now: number): void {
    for (const [key, peer] of this.#peers) {
      if (peer.load.inFlight > 0 || now - peer.usedAt < IDLE_POOL_MS) continue;
      this.#peers.delete(key);
      this.#byEndpoint = new WeakMap();
      peer.upstream.close();
    }
  }
}

function keyOf({ address, port, identity, hasSidecar }: Endpoint): string {
  return `${address}|${port}|${identity?.uri ?? (hasSidecar ? 'plaintext' : '')}`;
}
