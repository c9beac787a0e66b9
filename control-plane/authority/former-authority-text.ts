import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isRecord } from '#policy/schema/schema.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { type FormerAuthority, isIssuedUnder } from './authority-material.ts';
import { CLOCK_DIFFERENCE_MS, MAX_FORMER_AUTHORITIES } from './former-authority.ts';

/** As they are stored: JSON with PEM in it, the private keys of those that still sign too. */
export function formerAuthoritiesToText(former: readonly FormerAuthority[], nowMs: number): string {
  return JSON.stringify(
    former.map(({ issuer, privateKey, intermediates, roots, signsUntilMs, trustedUntilMs }) => ({
      signsUntil: new Date(signsUntilMs).toISOString(),
      trustedUntil: new Date(trustedUntilMs).toISOString(),
      issuer: certificatesToPem([issuer.certificate]),
      issuerEnds: new Date(issuer.notAfterMs).toISOString(),
      key: nowMs < signsUntilMs ? privateKey?.export({ type: 'pkcs8', format: 'pem' }) : undefined,
      intermediates: certificatesToPem(intermediates),
      roots: certificatesToPem(roots),
    })),
  );
}

/**
 * Those that are still good for something, none for longer than a change just now would give it, or than leaves are known to last. Throws
 * where the text is not of our making.
 */
export function formerAuthoritiesFromText(
  text: string,
  nowMs: number,
  leafLifetimeMs: number,
  leavesEndMs?: number,
): readonly FormerAuthority[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw new Error('not a list of former authorities');
  if (list.length > MAX_FORMER_AUTHORITIES) throw new Error(`more than ${MAX_FORMER_AUTHORITIES} former authorities`);
  return list
    .map((entry) => formerAuthorityFrom(entry, nowMs, leafLifetimeMs, leavesEndMs))
    .filter(({ trustedUntilMs }) => nowMs < trustedUntilMs);
}

function formerAuthorityFrom(
  entry: unknown,
  nowMs: number,
  leafLifetimeMs: number,
  leavesEndMs: number | undefined,
): FormerAuthority {
  const fields = isRecord(entry) ? entry : {};
  const field = (name: string): string => {
    const value = fields[name];
    if (typeof value === 'string') return value;
    throw new Error(`a former authority without ${name}`);
  };
  const time = (name: string): number => {
    const atMs = Date.parse(field(name));
    if (Number.isNaN(atMs)) throw new Error(`a former authority whose ${name} is no time`);
    return atMs;
  };
  const [issuing] = certificatesFromPem(field('issuer')).map((der) => new X509Certificate(der));
  if (issuing === undefined) throw new Error('a former authority without a certificate');
  const privateKey = fields.key === undefined ? undefined : createPrivateKey(field('key'));
  if (privateKey !== undefined && !issuing.checkPrivateKey(privateKey)) {
    throw new Error('a former authority whose key is not that of its certificate');
  }
  const longestMs = nowMs + leafLifetimeMs + CLOCK_DIFFERENCE_MS;
  const signsUntilMs = Math.min(time('signsUntil'), longestMs);
  // Leaves of a time when they lived longer are about still.
  const longestTrustMs = Math.max(longestMs + leafLifetimeMs, leavesEndMs ?? 0) + CLOCK_DIFFERENCE_MS;
  const former: FormerAuthority = {
    issuer: {
      certificate: issuing.raw,
      notAfterMs: Math.min(time('issuerEnds'), issuing.validToDate.getTime()),
    },
    privateKey,
    intermediates: certificatesFromPem(field('intermediates')),
    roots: certificatesFromPem(field('roots')),
    signsUntilMs,
    trustedUntilMs: Math.min(time('trustedUntil'), longestTrustMs),
  };
  // One that has ended meanwhile was good when it signed last.
  if (!isIssuedUnder(former, former.roots, Math.min(nowMs, signsUntilMs, former.issuer.notAfterMs))) {
    throw new Error('a former authority whose chain does not end in its roots');
  }
  return former;
}
