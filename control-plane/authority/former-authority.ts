import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isRecord } from '#policy/schema/schema.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { type FormerAuthority, type IssuingMaterial, isIssuedUnder } from './authority-material.ts';

/** Authorities that are kept; the oldest go. */
export const MAX_FORMER_AUTHORITIES = 4;
/** Clocks of pods may be this much apart. */
const CLOCK_DIFFERENCE_MS = 600_000;

/**
 * What is to be kept of an authority that another has taken the place of; undefined: nothing, since everybody who knows its roots
 * takes the new leaves, and its own leaves are good under the new roots.
 *
 * Where the new root is not known yet, the former authority goes on signing for a leaf's lifetime: by then every sidecar was
 * renewed, and with its certificate it was handed both roots. For one more lifetime its root is trusted.
 */
export function formerAuthorityOf(
  before: IssuingMaterial,
  after: IssuingMaterial,
  nowMs: number,
  leafLifetimeMs: number,
): FormerAuthority | undefined {
  const isKnown = isIssuedUnder(after, before.roots, nowMs);
  const isStillTrusted = before.roots.every((root) => after.roots.some((other) => other.equals(root)));
  if (isKnown && isStillTrusted) return undefined;
  const { issuer, intermediates, roots } = before;
  const signsUntilMs = isKnown ? nowMs : Math.min(nowMs + leafLifetimeMs, issuer.notAfterMs);
  return {
    issuer,
    intermediates,
    roots,
    signsUntilMs,
    trustedUntilMs: signsUntilMs + leafLifetimeMs + CLOCK_DIFFERENCE_MS,
  };
}

export function isSameIssuing(one: IssuingMaterial, other: IssuingMaterial): boolean {
  const text = ({ issuer, intermediates, roots }: IssuingMaterial) =>
    [[issuer.certificate], intermediates, roots]
      .map((list) => list.map((der) => Buffer.from(der).toString('base64')).join(' '))
      .join('|');
  return text(one) === text(other);
}

/** As they are stored: JSON with PEM in it, the private keys too. */
export function formerAuthoritiesToText(former: readonly FormerAuthority[]): string {
  return JSON.stringify(
    former.slice(-MAX_FORMER_AUTHORITIES).map(({ issuer, intermediates, roots, signsUntilMs, trustedUntilMs }) => ({
      signsUntil: new Date(signsUntilMs).toISOString(),
      trustedUntil: new Date(trustedUntilMs).toISOString(),
      issuer: certificatesToPem([issuer.certificate]),
      issuerEnds: new Date(issuer.notAfterMs).toISOString(),
      key: issuer.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      intermediates: certificatesToPem(intermediates),
      roots: certificatesToPem(roots),
    })),
  );
}

/** Those that are still good for something. Throws where the text is not of our making. */
export function formerAuthoritiesFromText(text: string, nowMs: number): readonly FormerAuthority[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw new Error('not a list of former authorities');
  return list
    .slice(-MAX_FORMER_AUTHORITIES)
    .map(formerAuthorityFrom)
    .filter(({ trustedUntilMs }) => nowMs < trustedUntilMs);
}

function formerAuthorityFrom(entry: unknown): FormerAuthority {
  const field = (name: string): string => {
    const value = isRecord(entry) ? entry[name] : undefined;
    if (typeof value === 'string') return value;
    throw new Error(`a former authority without ${name}`);
  };
  const time = (name: string): number => {
    const atMs = Date.parse(field(name));
    if (Number.isNaN(atMs)) throw new Error(`a former authority whose ${name} is no time`);
    return atMs;
  };
  const [certificate] = certificatesFromPem(field('issuer'));
  if (certificate === undefined) throw new Error('a former authority without a certificate');
  const privateKey = createPrivateKey(field('key'));
  if (!new X509Certificate(certificate).checkPrivateKey(privateKey)) {
    throw new Error('a former authority whose key is not that of its certificate');
  }
  return {
    issuer: { certificate, privateKey, notAfterMs: time('issuerEnds') },
    intermediates: certificatesFromPem(field('intermediates')),
    roots: certificatesFromPem(field('roots')),
    signsUntilMs: time('signsUntil'),
    trustedUntilMs: time('trustedUntil'),
  };
}
