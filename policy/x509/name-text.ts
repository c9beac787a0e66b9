import { DerReader, TAG } from './der-reader.ts';

/** Longest text of a name in a reason; who sends certificates chooses it. */
const MAX_TEXT_LENGTH = 160;
/** RFC 4514 §3. */
const SHORT_NAMES: { readonly [oid: string]: string } = {
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
};

/** A Name that was read before, as an operator reads it, for a log: `O=cluster.local, CN=Root`. One line, in printable ASCII, cut where it is long. */
export function nameText(name: Buffer): string {
  const parts: string[] = [];
  const list = new DerReader(name).enter(TAG.sequence, 'name');
  while (!list.isAtEnd) {
    const set = list.enter(TAG.set, 'name');
    while (!set.isAtEnd) {
      const attribute = set.enter(TAG.sequence, 'name');
      const oid = attribute.oid('name');
      parts.push(`${SHORT_NAMES[oid] ?? oid}=${printable(attribute.any('name').content.toString())}`);
    }
  }
  const text = parts.join(', ');
  return text.length > MAX_TEXT_LENGTH ? `${text.slice(0, MAX_TEXT_LENGTH)}…` : text;
}

export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
