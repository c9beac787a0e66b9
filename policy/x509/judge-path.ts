import type { Code } from '../error/codes.ts';
import { nameConstraintComplaint } from './check-name-constraints.ts';
import { nameText } from './name-text.ts';
import { keyComplaint } from './public-key.ts';
import type { Certificate } from './read-certificate.ts';
import { KEY_USAGE } from './read-extensions.ts';
import type { Root } from './root.ts';

/** What the certificate is shown for: the peer is the TLS client, or the server. */
export type PeerUse = 'client' | 'server';

export interface PathRefusal {
  readonly kind: 'refused';
  readonly code: Code;
  readonly reason: string;
}

const EXTENDED_KEY_USAGE: { readonly [use in PeerUse]: { readonly oid: string; readonly name: string } } = {
  server: { oid: '1.3.6.1.5.5.7.3.1', name: 'serverAuth' },
  client: { oid: '1.3.6.1.5.5.7.3.2', name: 'clientAuth' },
};
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';

/**
 * Judges a path of which every signature was verified: leaf first, each issued by the next, the last by the root
 * (RFC 5280 §6.1). Undefined: it is good.
 */
export function judgePath(
  path: readonly Certificate[],
  root: Root,
  nowMs: number,
  use: PeerUse,
): PathRefusal | undefined {
  const [leaf, ...issuers] = path;
  if (leaf === undefined) return refused('untrusted_issuer', 'an empty path');
  return (
    weakKey(leaf) ??
    unknownExtension(path) ??
    noAuthority(issuers) ??
    tooLong(issuers, root) ??
    constrained(path, root) ??
    wrongUsage(leaf, issuers) ??
    wrongExtendedUsage(leaf, issuers, use) ??
    outOfTime(path, root, nowMs)
  );
}

/** Those of issuers are judged before they verify anything. */
function weakKey(leaf: Certificate): PathRefusal | undefined {
  const complaint = keyComplaint(leaf.key, false);
  return complaint === undefined ? undefined : refused('weak_signature', `${nameOf(leaf, 0)}: ${complaint}`);
}

/** RFC 5280 §4.2, §6.1.4 o, §6.1.5 e. */
function unknownExtension(path: readonly Certificate[]): PathRefusal | undefined {
  for (const [index, certificate] of path.entries()) {
    const oid = certificate.extensions.unknownCritical;
    if (oid !== undefined) return refused('unknown_critical_extension', `${nameOf(certificate, index)}: ${oid}`);
  }
  return undefined;
}

/** RFC 5280 §6.1.4 k: or whoever has a certificate could issue more. */
function noAuthority(issuers: readonly Certificate[]): PathRefusal | undefined {
  const index = issuers.findIndex(({ extensions }) => !extensions.isAuthority);
  const issuer = issuers[index];
  if (issuer === undefined) return undefined;
  return refused('untrusted_issuer', `${nameOf(issuer, index + 1)} is no authority (basicConstraints: cA)`);
}

/** RFC 5280 §6.1.4 l-m; the root's own limit counts too (RFC 5937 §3.1), as OpenSSL and Go have it. */
function tooLong(issuers: readonly Certificate[], root: Root): PathRefusal | undefined {
  let below = 0;
  for (const [index, issuer] of issuers.entries()) {
    const limit = issuer.extensions.pathLength;
    if (limit !== undefined && below > limit) return longPath(nameOf(issuer, index + 1), limit, below);
    if (!isSelfIssued(issuer)) below++;
  }
  const limit = root.certificate.extensions.pathLength;
  return limit !== undefined && below > limit ? longPath(rootName(root), limit, below) : undefined;
}

function longPath(who: string, limit: number, below: number): PathRefusal {
  return refused('path_length_exceeded', `${below} authorities below ${who}, whose pathLenConstraint is ${limit}`);
}

/** RFC 5280 §6.1.3 b-c: constraints hold for all that follows, but for authorities that were issued by themselves. */
function constrained(path: readonly Certificate[], root: Root): PathRefusal | undefined {
  const all = [...path, root.certificate];
  for (const [index, issuer] of all.entries()) {
    const constraints = issuer.extensions.nameConstraints;
    if (constraints === undefined) continue;
    for (const [place, certificate] of path.slice(0, index).entries()) {
      if (place > 0 && isSelfIssued(certificate)) continue;
      const complaint = nameConstraintComplaint(constraints, certificate);
      if (complaint === undefined) continue;
      const who = index === path.length ? rootName(root) : nameOf(issuer, index);
      return refused('name_constraint_violated', `${nameOf(certificate, place)}: ${complaint}, says ${who}`);
    }
  }
  return undefined;
}

/**
 * Where key usages are stated, they decide; without any the key may be used for all (RFC 5280 §4.2.1.3, §6.1.4 n). X509-SVID
 * §4.3 has issuers state them, and has those who verify (§5.2) look for what is there and must not be.
 */
function wrongUsage(leaf: Certificate, issuers: readonly Certificate[]): PathRefusal | undefined {
  const usage = leaf.extensions.keyUsage;
  if (usage !== undefined && (usage & (KEY_USAGE.keyCertSign | KEY_USAGE.cRLSign)) !== 0) {
    return refused('wrong_key_usage', `${nameOf(leaf, 0)}: may sign certificates or revocation lists`);
  }
  if (usage !== undefined && (usage & KEY_USAGE.digitalSignature) === 0) {
    return refused('wrong_key_usage', `${nameOf(leaf, 0)}: may not make signatures (digitalSignature)`);
  }
  for (const [index, issuer] of issuers.entries()) {
    const { keyUsage } = issuer.extensions;
    if (keyUsage !== undefined && (keyUsage & KEY_USAGE.keyCertSign) === 0) {
      return refused('wrong_key_usage', `${nameOf(issuer, index + 1)}: may not sign certificates (keyCertSign)`);
    }
  }
  return undefined;
}

/**
 * RFC 5280 §4.2.1.12: what is stated decides. X509-SVID §4.4 has issuers name serverAuth and clientAuth both; a certificate that
 * names the one it is used for is good for that use, and it would prove nothing more to insist on the other. That "any usage" would do
 * is not in X509-SVID, so a leaf has to name it; in issuers it stands for all, and what they state binds those below, as in OpenSSL and Go.
 */
function wrongExtendedUsage(leaf: Certificate, issuers: readonly Certificate[], use: PeerUse): PathRefusal | undefined {
  const { oid, name } = EXTENDED_KEY_USAGE[use];
  for (const [index, certificate] of [leaf, ...issuers].entries()) {
    const usages = certificate.extensions.extendedKeyUsage;
    if (usages === undefined || usages.includes(oid)) continue;
    if (index > 0 && usages.includes(ANY_EXTENDED_KEY_USAGE)) continue;
    return refused(
      'wrong_extended_key_usage',
      `${nameOf(certificate, index)}: has no ${name}, has ${usages.join(', ')}`,
    );
  }
  return undefined;
}

/** RFC 5280 §6.1.3 a 2, the ends included (§4.1.2.5). No allowance for clocks: issuers date certificates back. */
function outOfTime(path: readonly Certificate[], root: Root, nowMs: number): PathRefusal | undefined {
  for (const [index, certificate] of [...path, root.certificate].entries()) {
    const { notBeforeMs, notAfterMs } = certificate;
    if (nowMs >= notBeforeMs && nowMs <= notAfterMs) continue;
    const who = index === path.length ? rootName(root) : nameOf(certificate, index);
    const times = `valid from ${iso(notBeforeMs)} to ${iso(notAfterMs)}; clock here ${iso(nowMs)}`;
    return refused(nowMs < notBeforeMs ? 'certificate_not_yet_valid' : 'certificate_expired', `${who}: ${times}`);
  }
  return undefined;
}

/** RFC 5280 §6.1: subject and issuer are one. */
function isSelfIssued({ subject, issuer }: Certificate): boolean {
  return subject.equals(issuer);
}

/** How reasons call a certificate of the path; the leaf is at 0. */
export function nameOf(certificate: Certificate, index: number): string {
  const { serial, issuer, subject } = certificate;
  return index === 0
    ? `the leaf (serial ${serial}, issuer "${nameText(issuer)}")`
    : `issuer "${nameText(subject)}" (serial ${serial})`;
}

function rootName({ subject, certificate }: Root): string {
  return `the root "${nameText(subject)}" (serial ${certificate.serial})`;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

function refused(code: Code, reason: string): PathRefusal {
  return { kind: 'refused', code, reason };
}
