import {
  type ChainedCertificate,
  type FormerAuthority,
  type IssuingMaterial,
  isIssuedUnder,
} from './authority-material.ts';

/** Authorities that are kept: more changes than these within two lives of a leaf are no operation but an accident. */
export const MAX_FORMER_AUTHORITIES = 8;
/** Clocks of pods may be this much apart. */
export const CLOCK_DIFFERENCE_MS = 600_000;

/** The former authority that signs now; undefined: the one in force does. */
export function formerSigner(former: readonly FormerAuthority[], nowMs: number): IssuingMaterial | undefined {
  for (const one of former) {
    const { issuer, privateKey, intermediates, roots } = one;
    if (privateKey !== undefined && isSigning(one, nowMs)) {
      return { issuer: { ...issuer, privateKey }, intermediates, roots };
    }
  }
  return undefined;
}

/**
 * What is to be kept once `after` has come in the place of `before`.
 *
 * Those that still sign do so one after the other, and at the end `before` would: by the turn of each everybody knows its roots.
 * `after` takes the turn of the first under whose roots it is issued, and all from there on sign no more. Under no such roots, it
 * is unknown: `before` goes on for a leaf's lifetime, by which every sidecar was renewed, and with its certificate was handed
 * the new root. For one more lifetime the roots of each are trusted.
 */
export function formerAfter(
  former: readonly FormerAuthority[],
  before: IssuingMaterial,
  after: IssuingMaterial,
  nowMs: number,
  leafLifetimeMs: number,
): readonly FormerAuthority[] {
  const signing = former.filter((one) => isSigning(one, nowMs));
  const turn = [...signing, before].findIndex(({ roots }) => isIssuedUnder(after, roots, nowMs));
  const ended = new Set(turn === -1 ? [] : signing.slice(turn));
  const kept = former
    .filter((one) => !isSameIssuing(one, after) && !isSameIssuing(one, before))
    .map((one) => (ended.has(one) ? { ...one, privateKey: undefined, signsUntilMs: nowMs } : one));
  const isTrustedAnyway = before.roots.every((root) => after.roots.some((other) => other.equals(root)));
  // Where others end by it, another replica that sees the change later must find `before`, and not judge anew without them.
  if (turn !== -1 && ended.size === 0 && isTrustedAnyway) return kept;
  const { issuer, intermediates, roots } = before;
  const { privateKey, ...certified } = issuer;
  const signsUntilMs = turn === -1 ? Math.min(nowMs + leafLifetimeMs, issuer.notAfterMs) : nowMs;
  const entry: FormerAuthority = {
    issuer: certified,
    privateKey: turn === -1 ? privateKey : undefined,
    intermediates,
    roots,
    signsUntilMs,
    trustedUntilMs: signsUntilMs + leafLifetimeMs + CLOCK_DIFFERENCE_MS,
  };
  return keptWithin([...kept, entry], nowMs);
}

export function isSameIssuing(one: ChainedCertificate, other: ChainedCertificate): boolean {
  const text = ({ issuer, intermediates, roots }: ChainedCertificate) =>
    [[issuer.certificate], intermediates, roots]
      .map((list) => list.map((der) => Buffer.from(der).toString('base64')).join(' '))
      .join('|');
  return text(one) === text(other);
}

function isSigning({ issuer, privateKey, signsUntilMs }: FormerAuthority, nowMs: number): boolean {
  return privateKey !== undefined && nowMs < signsUntilMs && nowMs < issuer.notAfterMs;
}

/** No more than MAX_FORMER_AUTHORITIES. The oldest that signs no more goes. Where all still sign, the last has signed nothing yet: the one before it stands in. */
export function keptWithin(former: readonly FormerAuthority[], nowMs: number): readonly FormerAuthority[] {
  if (former.length <= MAX_FORMER_AUTHORITIES) return former;
  const oldest = former.findIndex((one) => !isSigning(one, nowMs));
  if (oldest !== -1 && oldest < former.length - 1) return former.toSpliced(oldest, 1);
  const [standIn, last] = former.slice(-2);
  if (standIn === undefined || last === undefined) return former;
  const signsUntilMs = Math.max(standIn.signsUntilMs, Math.min(last.signsUntilMs, standIn.issuer.notAfterMs));
  const trustedUntilMs = standIn.trustedUntilMs + signsUntilMs - standIn.signsUntilMs;
  return [...former.slice(0, -2), { ...standIn, signsUntilMs, trustedUntilMs }];
}
