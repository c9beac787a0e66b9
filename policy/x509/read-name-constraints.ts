import { constructedTag, contextTag, type DerReader, TAG } from './der-reader.ts';
import { type GeneralName, MAX_NAMES, readGeneralName } from './general-names.ts';

/** RFC 5280 §4.2.1.10. Undefined: the certificate has no list of the kind. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[] | undefined;
  readonly excluded: readonly GeneralName[] | undefined;
}

const WHAT = 'name constraints';
/** A host, or with a dot in front all hosts below; without the dot too for DNS names, of which an empty one is all. */
const URI_CONSTRAINT = /^\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i;
const DNS_CONSTRAINT = /^(\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*)?$/i;
/** Address and mask, of IPv4 and IPv6. */
const IP_CONSTRAINT_BYTES = [8, 32];

export function readNameConstraints(reader: DerReader): NameConstraints {
  const list = reader.enter(TAG.sequence, WHAT);
  const permitted = readSubtrees(list, constructedTag(0));
  const excluded = readSubtrees(list, constructedTag(1));
  list.end(WHAT);
  if (permitted === undefined && excluded === undefined) reader.fail(`${WHAT}: empty`);
  return { permitted, excluded };
}

function readSubtrees(list: DerReader, tag: number): readonly GeneralName[] | undefined {
  if (!list.isNext(tag)) return undefined;
  const subtrees = list.enter(tag, WHAT);
  const bases: GeneralName[] = [];
  while (!subtrees.isAtEnd) {
    if (bases.length === MAX_NAMES) subtrees.fail(`${WHAT}: more than ${MAX_NAMES} subtrees`);
    const subtree = subtrees.enter(TAG.sequence, WHAT);
    const base = readGeneralName(subtree, WHAT);
    // minimum is 0, which DER leaves out, and maximum is absent
    if (subtree.isNext(contextTag(0)) || subtree.isNext(contextTag(1))) subtree.fail(`${WHAT}: minimum or maximum`);
    subtree.end(WHAT);
    // one that can match nothing would exclude nothing
    if (!isMeaningful(base)) subtree.fail(`${WHAT}: a ${base.form} constraint that is none`);
    bases.push(base);
  }
  if (bases.length === 0) subtrees.fail(`${WHAT}: an empty list`);
  return bases;
}

function isMeaningful({ form, value }: GeneralName): boolean {
  if (form === 'uri') return URI_CONSTRAINT.test(value.toString('latin1'));
  if (form === 'dns') return DNS_CONSTRAINT.test(value.toString('latin1'));
  if (form === 'ip') return IP_CONSTRAINT_BYTES.includes(value.length);
  return true;
}
