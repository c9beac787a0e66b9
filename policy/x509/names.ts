import {
  bytesOf,
  childrenOf,
  type Der,
  decodeDer,
  encodeDer,
  isOctets,
  isTagged,
  oid,
  oidOf,
  sequence,
  set,
  utf8,
} from './der.ts';
import { SUBJECT_KEY_IDENTIFIER } from './extensions.ts';

const COMMON_NAME = '2.5.4.3';
const ORGANIZATION = '2.5.4.10';
/** RFC 5280 appendix A.1: ub-organization-name and ub-common-name. */
const MAX_NAME_LENGTH = 64;

/** A subject that names nobody; the SAN does (X509-SVID §2). */
export const EMPTY_NAME: Der = sequence();

/** What a certificate lends to those it signs. */
export interface IssuerNames {
  readonly subject: Der;
  /** Absent: the issuer states none (RFC 5280 §4.2.1.1 then allows to leave it out). */
  readonly keyIdentifier: Buffer | undefined;
}

/** `O=TRUST-DOMAIN, CN=…`, DER; a trust domain too long for the field is cut. */
export function distinguishedName(organization: string, commonName: string): Buffer {
  const attribute = (type: string, value: string) => set(sequence(oid(type), utf8(value.slice(0, MAX_NAME_LENGTH))));
  return encodeDer(sequence(attribute(ORGANIZATION, organization), attribute(COMMON_NAME, commonName)));
}

/** Reads subject and subject key identifier; throws when the DER is not a certificate's. */
export function namesOf(certificate: Buffer): IssuerNames {
  const [body] = childrenOf(decodeDer(certificate), 'certificate');
  const fields = [...childrenOf(body, 'certificate body')];
  // The version is left out of v1 certificates; what follows stands at fixed places (RFC 5280 §4.1).
  if (fields[0] !== undefined && isTagged(fields[0], 0)) fields.shift();
  const [, , , , subject] = fields;
  if (subject === undefined) throw new Error('certificate: has no subject');
  const wrapper = fields.find((field) => isTagged(field, 3));
  return { subject, keyIdentifier: wrapper === undefined ? undefined : subjectKeyIdentifierOf(wrapper) };
}

function subjectKeyIdentifierOf(wrapper: Der): Buffer | undefined {
  for (const extension of childrenOf(childrenOf(wrapper, 'extensions')[0], 'extensions')) {
    const parts = childrenOf(extension, 'extension');
    if (oidOf(parts[0], 'extension') !== SUBJECT_KEY_IDENTIFIER) continue;
    const value = decodeDer(bytesOf(parts.at(-1), 'subject key identifier'));
    return isOctets(value) ? bytesOf(value, 'subject key identifier') : undefined;
  }
  return undefined;
}
