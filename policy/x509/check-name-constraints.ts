import type { GeneralName } from './general-names.ts';
import { printable } from './name-text.ts';
import type { Certificate } from './read-certificate.ts';
import type { NameConstraints } from './read-name-constraints.ts';

/** `scheme://[user@]host[:port]…`; a host in brackets is an address, which no URI constraint can be about. */
const AUTHORITY = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:@[\]]+)(?::[0-9]*)?(?:[/?#]|$)/i;
/** Content of the type emailAddress (PKCS #9), which stands in subjects of old. */
const EMAIL_ATTRIBUTE = Buffer.from('2a864886f70d010901', 'hex');
const EMPTY_NAME_BYTES = 2;

/** What of `certificate` its issuer's constraints do not allow, or undefined. RFC 5280 §4.2.1.10, §6.1.3 b-c. */
export function nameConstraintComplaint(constraints: NameConstraints, certificate: Certificate): string | undefined {
  for (const name of namesOf(certificate)) {
    const text = `${name.form} name ${name.form === 'directory' ? 'of the subject' : shown(name)}`;
    const verdict = judge(constraints, name);
    if (verdict !== undefined) return `${text} is ${verdict}`;
  }
  return undefined;
}

/** The names of the SAN, and the subject as a directory name where it names anybody. */
function namesOf({ subject, extensions }: Certificate): readonly GeneralName[] {
  if (subject.length === EMPTY_NAME_BYTES) return extensions.names;
  const names: GeneralName[] = [...extensions.names, { form: 'directory', value: subject }];
  // its text is not looked for: that there is one is enough for a constraint to refuse it
  if (subject.includes(EMAIL_ATTRIBUTE)) names.push({ form: 'email', value: Buffer.alloc(0) });
  return names;
}

function judge({ permitted, excluded }: NameConstraints, name: GeneralName): string | undefined {
  const about = (list: readonly GeneralName[] | undefined) => list?.filter(({ form }) => form === name.form) ?? [];
  const [allowing, forbidding] = [about(permitted), about(excluded)];
  if (allowing.length === 0 && forbidding.length === 0) return undefined;
  const matches = MATCHERS[name.form];
  // §4.2.1.10: what a constraint is about and cannot be compared here is to be refused
  if (matches === undefined) return 'of a form whose constraints cannot be judged here';
  // names of directories differ in ways that bytes do not tell (case, types of strings): they prove that a name is
  // below another, and never that it is not
  if (name.form === 'directory' && forbidding.length > 0) return 'perhaps one that is excluded';
  if (forbidding.some(({ value }) => matches(name.value, value) !== false)) return 'excluded';
  const isAllowed = allowing.length === 0 || allowing.some(({ value }) => matches(name.value, value) === true);
  return isAllowed ? undefined : 'not among those that are permitted';
}

/** Undefined: it cannot be told, which neither permits nor spares from exclusion. */
type Matcher = (name: Buffer, constraint: Buffer) => boolean | undefined;

const MATCHERS: { readonly [form in GeneralName['form']]: Matcher | undefined } = {
  uri(name, constraint) {
    const host = AUTHORITY.exec(text(name))?.[1];
    if (host === undefined || /^[0-9.]+$/.test(host)) return undefined;
    const base = text(constraint);
    // with a dot in front: hosts below it, not itself; without: that very host
    return base.startsWith('.') ? host.length > base.length && host.endsWith(base) : host === base;
  },
  dns(name, constraint) {
    const [host, base] = [text(name), text(constraint)];
    if (base === '') return true;
    if (base.startsWith('.')) return host.length > base.length && host.endsWith(base);
    return host === base || host.endsWith(`.${base}`);
  },
  ip(name, constraint) {
    const size = constraint.length / 2;
    if (name.length !== size) return false;
    return name.every((byte, index) => ((byte ^ (constraint[index] ?? 0)) & (constraint[size + index] ?? 0)) === 0);
  },
  directory: isBelow,
  email: undefined,
  other: undefined,
};

/** True when the parts of `base` are the first parts of `name`; both are whole Names. */
function isBelow(name: Buffer, base: Buffer): boolean {
  const [parts, first] = [contentOf(name), contentOf(base)];
  return parts.subarray(0, first.length).equals(first);
}

/** Behind the header, whose length is in one byte, or in as many as its lower bits say. */
function contentOf(element: Buffer): Buffer {
  const length = element[1] ?? 0;
  return element.subarray(length < 0x80 ? 2 : 2 + (length & 0x7f));
}

function text(value: Buffer): string {
  return value.toString('latin1').toLowerCase();
}

function shown({ form, value }: GeneralName): string {
  return form === 'uri' || form === 'dns' ? `"${printable(text(value))}"` : value.toString('hex');
}
