import { keyOf, type SidecarTrust, type TrustAnswer } from './trust-survey.ts';

/** A replica that started less than this ago has not heard yet of all that were connected to it: they come back within it. */
export const RECONNECT_MS = 60_000;

/** What a replica answered; undefined: it is silent. */
export interface ReplicaTrust {
  readonly replica: string;
  readonly answer: TrustAnswer | undefined;
}

/** Who keeps a new root from being signed under. */
export interface TrustVerdict {
  /** Connected, and have not acknowledged the root; NAMESPACE/NAME, in order. */
  readonly pending: readonly string[];
  /** Not connected, without the root, and their certificates are good for a while yet. */
  readonly absent: readonly { readonly name: string; readonly untilMs: number }[];
  readonly silentReplicas: readonly string[];
  /**
   * Until then a replica that has just started is given time to hear of its sidecars, and other meshes to fetch the root; undefined:
   * there is none such.
   */
  readonly settlesMs: number | undefined;
  /** Sidecars that trust it. */
  readonly trusting: number;
  /** Of sidecars that went, so many nobody had room to remember. */
  readonly forgotten: number;
}

/**
 * Puts together what all replicas know. A sidecar that is connected anywhere is not away; one that acknowledged the root before it went
 * needs not be waited for, nor one that cannot come back.
 */
export function judgeTrust(
  answers: readonly ReplicaTrust[],
  nowMs: number,
  isGone: (name: string) => boolean = () => false,
): TrustVerdict {
  const heard = answers.flatMap(({ answer }) => answer ?? []);
  const connected = new Map<string, SidecarTrust>();
  const away = new Map<string, SidecarTrust>();
  for (const sidecar of heard.flatMap(({ sidecars }) => sidecars)) {
    const key = keyOf(sidecar);
    const known = (sidecar.isConnected ? connected : away).get(key);
    // of two answers about one that is moving, the better: what it acknowledged it has
    if (known === undefined || (sidecar.trusts && !known.trusts)) {
      (sidecar.isConnected ? connected : away).set(key, sidecar);
    }
  }
  const absent = [...away].flatMap(([key, { name, trusts, untilMs }]) =>
    trusts || connected.has(key) || untilMs <= nowMs || isGone(name) ? [] : [{ name, untilMs }],
  );
  const settlesMs = Math.max(...heard.map(({ sinceMs }) => sinceMs)) + RECONNECT_MS;
  const all = [...connected.values()];
  return {
    pending: all.flatMap(({ name, trusts }) => (trusts ? [] : [name])).sort(),
    absent: absent.sort((one, other) => (one.name < other.name ? -1 : 1)),
    silentReplicas: answers.flatMap(({ replica, answer }) => (answer === undefined ? [replica] : [])).sort(),
    settlesMs: settlesMs > nowMs ? settlesMs : undefined,
    trusting: all.filter(({ trusts }) => trusts).length,
    forgotten: heard.reduce((sum, { forgotten }) => sum + forgotten, 0),
  };
}

/** Everybody who may come with a certificate that is good trusts the root. */
export function isTrustedEverywhere({ pending, absent, silentReplicas, settlesMs }: TrustVerdict): boolean {
  return pending.length === 0 && absent.length === 0 && silentReplicas.length === 0 && settlesMs === undefined;
}
