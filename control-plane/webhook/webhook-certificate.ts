import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { issueServerAuthority, issueServerCertificate } from '#policy/x509/server-certificate.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const AUTHORITY_LIFETIME_MS = 365 * DAY_MS;
/** With less than this left, the next authority is made. */
export const AUTHORITY_RENEWAL_REST_MS = 120 * DAY_MS;
export const CERTIFICATE_LIFETIME_MS = 90 * DAY_MS;
/** With less than this left, the certificate is made anew: a month of a broken leader does no harm. */
export const CERTIFICATE_RENEWAL_REST_MS = 45 * DAY_MS;
/** An authority signs only after it has been in the registrations for this long: every API server knows it by then. */
export const AUTHORITY_ANNOUNCEMENT_MS = HOUR_MS;

/** Keys of the Secret: those of kubernetes.io/tls, and the authority's own key. */
export const SECRET_KEY = {
  authorities: 'ca.crt',
  authorityKeys: 'ca.key',
  certificate: 'tls.crt',
  privateKey: 'tls.key',
} as const;

/** Certificate and key of the webhooks, and the authorities that vouch for it, newest first. */
export interface WebhookCertificate {
  readonly authorities: readonly AuthorityPair[];
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly privateKey: string;
}

interface AuthorityPair {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

type SecretData = { readonly [key: string]: Buffer };

/** Reads the Secret; undefined where it is empty or what is in it does not fit together: it is then made anew. */
export function readWebhookCertificate(data: SecretData): WebhookCertificate | undefined {
  const pem = (key: string) => data[key]?.toString('utf8') ?? '';
  try {
    const certificate = pem(SECRET_KEY.certificate);
    const privateKey = pem(SECRET_KEY.privateKey);
    const keys = privateKeysOf(pem(SECRET_KEY.authorityKeys));
    const authorities = certificatesFromPem(pem(SECRET_KEY.authorities)).flatMap((der) => {
      const authority = new X509Certificate(der);
      const key = keys.find((candidate) => authority.checkPrivateKey(candidate));
      return key === undefined ? [] : [{ certificate: authority, privateKey: key }];
    });
    const leaf = new X509Certificate(certificate);
    const isWhole =
      leaf.checkPrivateKey(createPrivateKey(privateKey)) &&
      authorities.some((authority) => isIssuedBy(leaf, authority.certificate));
    return isWhole ? { authorities, certificate, privateKey } : undefined;
  } catch {
    return undefined;
  }
}

export function writeWebhookCertificate({ authorities, certificate, privateKey }: WebhookCertificate): SecretData {
  const keys = authorities.map((authority) => authority.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  return {
    [SECRET_KEY.authorities]: Buffer.from(authoritiesPem(authorities)),
    [SECRET_KEY.authorityKeys]: Buffer.from(keys.join('')),
    [SECRET_KEY.certificate]: Buffer.from(certificate),
    [SECRET_KEY.privateKey]: Buffer.from(privateKey),
  };
}

/** What the API server is told to trust: every authority that has not ended, the next and the last among them. */
export function caBundleOf({ authorities }: WebhookCertificate): string {
  return Buffer.from(authoritiesPem(authorities)).toString('base64');
}

/** When the certificate that is served ends. */
export function notAfterMsOf({ certificate }: WebhookCertificate): number {
  return new X509Certificate(certificate).validToDate.getTime();
}

/**
 * The certificate as it should be now; the same object where nothing is to be done. A new authority is announced first
 * (AUTHORITY_ANNOUNCEMENT_MS) and signs later; one that is replaced stays trusted to its end.
 */
export function renewWebhookCertificate(
  held: WebhookCertificate | undefined,
  dnsNames: readonly string[],
  nowMs: number,
): WebhookCertificate {
  const valid = (held?.authorities ?? []).filter(({ certificate }) => endOf(certificate) > nowMs);
  const newest = valid[0];
  const needsAuthority = newest === undefined || endOf(newest.certificate) - nowMs < AUTHORITY_RENEWAL_REST_MS;
  const authorities = needsAuthority ? [makeAuthority(nowMs), ...valid] : valid;
  const signer = authorities.find(({ certificate }) => isAnnounced(certificate, nowMs)) ?? authorities.at(-1);
  if (signer === undefined) throw new Error('no authority for the webhooks');
  const isGood = held !== undefined && isStillGood(held.certificate, signer.certificate, dnsNames, nowMs);
  if (isGood && held.authorities.length === authorities.length && !needsAuthority) return held;
  const { certificate, privateKey } = isGood ? held : makeCertificate(signer, dnsNames, nowMs);
  return { authorities, certificate, privateKey };
}

/** Of the signer that should be in force, long enough, and good for all names. */
function isStillGood(pem: string, signer: X509Certificate, dnsNames: readonly string[], nowMs: number): boolean {
  const leaf = new X509Certificate(pem);
  const hasNames = dnsNames.every((name) => leaf.checkHost(name) !== undefined);
  return hasNames && isIssuedBy(leaf, signer) && endOf(leaf) - nowMs >= CERTIFICATE_RENEWAL_REST_MS;
}

function makeAuthority(nowMs: number): AuthorityPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = {
    organization: 'Lateral',
    commonName: 'Lateral webhook authority',
    subjectPublicKeyInfo: publicKey.export({ type: 'spki', format: 'der' }),
    nowMs,
    lifetimeMs: AUTHORITY_LIFETIME_MS,
    serial: randomBytes(SERIAL_BYTES),
  };
  return { certificate: new X509Certificate(issueServerAuthority(request, privateKey)), privateKey };
}

function makeCertificate(signer: AuthorityPair, dnsNames: readonly string[], nowMs: number) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = {
    dnsNames,
    subjectPublicKeyInfo: publicKey.export({ type: 'spki', format: 'der' }),
    nowMs,
    lifetimeMs: CERTIFICATE_LIFETIME_MS,
    serial: randomBytes(SERIAL_BYTES),
  };
  const notAfterMs = endOf(signer.certificate);
  const issuer = { certificate: signer.certificate.raw, privateKey: signer.privateKey, notAfterMs };
  return {
    certificate: certificatesToPem([issueServerCertificate(request, issuer)]),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}

function privateKeysOf(pem: string): KeyObject[] {
  const blocks = pem.match(/-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/g) ?? [];
  return blocks.map((block) => createPrivateKey(block));
}

function authoritiesPem(authorities: readonly AuthorityPair[]): string {
  return certificatesToPem(authorities.map(({ certificate }) => certificate.raw));
}

/** Made long enough ago; certificates begin CLOCK_SKEW_ALLOWANCE_MS before they are made. */
function isAnnounced(certificate: X509Certificate, nowMs: number): boolean {
  return nowMs - certificate.validFromDate.getTime() >= AUTHORITY_ANNOUNCEMENT_MS;
}

function isIssuedBy(leaf: X509Certificate, issuer: X509Certificate): boolean {
  return leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey);
}

function endOf(certificate: X509Certificate): number {
  return certificate.validToDate.getTime();
}
