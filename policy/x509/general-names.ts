import { constructedTag, contextTag, type DerReader } from './der-reader.ts';

/** Forms of names that are told apart (RFC 5280 §4.2.1.6); `other` are those that nothing here can compare. */
export type NameForm = 'uri' | 'dns' | 'ip' | 'email' | 'directory' | 'other';

export interface GeneralName {
  readonly form: NameForm;
  /** The content; of a `directory` name the whole Name, of `other` nothing that is looked into. */
  readonly value: Buffer;
}

/** Most names of one certificate, and most subtrees of one kind of constraint: each is compared with each. */
export const MAX_NAMES = 128;

const FORMS: { readonly [tag: number]: NameForm } = {
  [constructedTag(0)]: 'other',
  [contextTag(1)]: 'email',
  [contextTag(2)]: 'dns',
  [constructedTag(3)]: 'other',
  [constructedTag(4)]: 'directory',
  [constructedTag(5)]: 'other',
  [contextTag(6)]: 'uri',
  [contextTag(7)]: 'ip',
  [contextTag(8)]: 'other',
};
/** They are IA5Strings: ASCII. */
const ASCII_FORMS: ReadonlySet<NameForm> = new Set(['uri', 'dns', 'email']);

/** GeneralNames: at least one. */
export function readGeneralNames(reader: DerReader, what: string): readonly GeneralName[] {
  const names: GeneralName[] = [];
  while (!reader.isAtEnd) {
    if (names.length === MAX_NAMES) reader.fail(`${what}: more than ${MAX_NAMES} names`);
    names.push(readGeneralName(reader, what));
  }
  if (names.length === 0) reader.fail(`${what}: no names`);
  return names;
}

export function readGeneralName(reader: DerReader, what: string): GeneralName {
  const { tag, content } = reader.any(what);
  const form = FORMS[tag];
  if (form === undefined) return reader.fail(`${what}: a name of an unknown form`);
  if (ASCII_FORMS.has(form) && !isAscii(content)) reader.fail(`${what}: a name with bytes that are not ASCII`);
  return { form, value: content };
}

function isAscii(bytes: Buffer): boolean {
  for (const byte of bytes) if (byte >= 0x80) return false;
  return true;
}
