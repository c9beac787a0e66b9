import { MAX_REVOCATIONS } from '#policy/resource/kinds/revocation-list.ts';

/** Longest that a revoked serial number is kept where nobody says when its certificate ends: no leaf lives longer. */
export const SERIAL_KEPT_MS = 90 * 86_400_000;

/** An identity that is not to be believed, whatever it proves. */
export interface RevokedIdentity {
  /** SPIFFE ID. */
  readonly id: string;
  readonly atMs: number;
}

/** A certificate that is not to be believed. */
export interface RevokedSerial {
  /** As `serialText` has it. */
  readonly serial: string;
  readonly atMs: number;
  /** When the certificate ends, and with it the need to refuse it. */
  readonly untilMs: number;
}

export interface RevocationEntries {
  readonly identities: readonly RevokedIdentity[];
  readonly serials: readonly RevokedSerial[];
}

export const NO_REVOCATIONS: RevocationEntries = { identities: [], serials: [] };

/** What there is no more room for. */
export class RevocationsFull extends Error {
  constructor(what: string) {
    super(`${MAX_REVOCATIONS} ${what} are revoked, which is the most; reinstate some that are no more`);
    this.name = 'RevocationsFull';
  }
}

/** A serial number as lists of revocations have it: lower-case hex of whole bytes, without zeros before it. Undefined: it is none. */
export function serialText(given: string): string | undefined {
  const digits = given.replaceAll(':', '').toLowerCase().replace(/^0x/, '').replace(/^0+/, '');
  if (!/^[0-9a-f]{1,40}$/.test(digits)) return undefined;
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

/** Without those whose certificate has ended. */
export function currentRevocations(entries: RevocationEntries, nowMs: number): RevocationEntries {
  const serials = entries.serials.filter(({ untilMs }) => nowMs < untilMs);
  return serials.length === entries.serials.length ? entries : { ...entries, serials };
}

export function withIdentity(entries: RevocationEntries, id: string, nowMs: number): RevocationEntries {
  if (entries.identities.some((one) => one.id === id)) return entries;
  if (entries.identities.length >= MAX_REVOCATIONS) throw new RevocationsFull('identities');
  return { ...entries, identities: [...entries.identities, { id, atMs: nowMs }] };
}

/** A serial number that is revoked already keeps its time, and the later end of both. */
export function withSerial(
  entries: RevocationEntries,
  serial: string,
  untilMs: number | undefined,
  nowMs: number,
): RevocationEntries {
  const endsMs = untilMs ?? nowMs + SERIAL_KEPT_MS;
  const known = entries.serials.find((one) => one.serial === serial);
  if (known !== undefined && known.untilMs >= endsMs) return entries;
  const others = entries.serials.filter((one) => one.serial !== serial);
  if (others.length >= MAX_REVOCATIONS) throw new RevocationsFull('serial numbers');
  return { ...entries, serials: [...others, { serial, atMs: known?.atMs ?? nowMs, untilMs: endsMs }] };
}

/** Without this identity or serial number; the very same entries where it is not among them. */
export function without(entries: RevocationEntries, what: { readonly id?: string; readonly serial?: string }) {
  const identities = entries.identities.filter(({ id }) => id !== what.id);
  const serials = entries.serials.filter(({ serial }) => serial !== what.serial);
  const isSame = identities.length === entries.identities.length && serials.length === entries.serials.length;
  return isSame ? entries : { identities, serials };
}

/** The revocations in force, asked at each signature and each connection. */
export class Revocations {
  #entries = NO_REVOCATIONS;
  #identities: ReadonlySet<string> = new Set();
  #serials: ReadonlyMap<string, number> = new Map();
  readonly #listeners = new Set<() => void>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get entries(): RevocationEntries {
    return this.#entries;
  }

  /** Why a caller is not to be believed; undefined: it is not revoked. `serial` as a certificate states it, in hex. */
  isRevoked(uri: string, serial: string): string | undefined {
    if (this.#identities.has(uri)) return `${uri} is revoked`;
    if (this.#serials.size === 0) return undefined;
    const text = serialText(serial);
    const untilMs = text === undefined ? undefined : this.#serials.get(text);
    if (untilMs === undefined || this.#now() >= untilMs) return undefined;
    return `the certificate with serial number ${text} is revoked`;
  }

  /** Puts these in force, and tells whoever listens. */
  set(entries: RevocationEntries): void {
    if (entries === this.#entries) return;
    this.#entries = entries;
    this.#identities = new Set(entries.identities.map(({ id }) => id));
    this.#serials = new Map(entries.serials.map(({ serial, untilMs }) => [serial, untilMs]));
    for (const listener of this.#listeners) listener();
  }

  /** Calls back after revocations have changed; returns the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
