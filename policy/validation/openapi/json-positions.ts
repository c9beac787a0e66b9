import type { Path } from '../../schema/schema.ts';

interface Member {
  /** Of its name, or of the item itself. */
  readonly key: number;
  readonly value: number;
}

/**
 * Where things stand in a valid JSON text. Each array and object on the way is read once and remembered, so that a hundred places of a
 * document of megabytes are found in the time of one reading.
 */
export class JsonPositions {
  readonly #text: string;
  readonly #members = new Map<number, ReadonlyMap<string, Member>>();
  readonly #lineStarts: number[] = [0];

  constructor(text: string) {
    this.#text = text;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#lineStarts.push(at + 1);
  }

  /** Line and column from 1, of the value at a path or of its name; of the last step that is there, where the rest is not. */
  at(path: Path, where: 'key' | undefined): { readonly line: number; readonly column: number } {
    let found: Member = { key: space(this.#text, 0), value: space(this.#text, 0) };
    let isWhole = true;
    for (const step of path) {
      const next = this.#membersOf(found.value).get(String(step));
      isWhole = next !== undefined;
      if (next === undefined) break;
      found = next;
    }
    return this.#position(where === 'key' && isWhole ? found.key : found.value);
  }

  #position(offset: number): { readonly line: number; readonly column: number } {
    let low = 0;
    let high = this.#lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - (this.#lineStarts[low] ?? 0) + 1 };
  }

  #membersOf(container: number): ReadonlyMap<string, Member> {
    const known = this.#members.get(container) ?? readMembers(this.#text, container);
    this.#members.set(container, known);
    return known;
  }
}

/** The members of the array or object that begins at an offset; none of anything else. */
function readMembers(text: string, container: number): ReadonlyMap<string, Member> {
  const members = new Map<string, Member>();
  const open = text[container];
  if (open !== '{' && open !== '[') return members;
  let at = space(text, container + 1);
  while (at < text.length && text[at] !== '}' && text[at] !== ']') {
    const key = at;
    let name = String(members.size);
    if (open === '{') {
      const end = afterString(text, at);
      name = String(JSON.parse(text.slice(at, end)));
      at = space(text, space(text, end) + 1); // past the colon
    }
    members.set(name, { key, value: at });
    at = space(text, afterValue(text, at));
    if (text[at] === ',') at = space(text, at + 1);
  }
  return members;
}

function afterValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === '"') at = afterString(text, at) - 1;
    else if (char === '{' || char === '[') depth += 1;
    else if (depth === 0 && (char === ',' || char === '}' || char === ']')) return at;
    else if (char === '}' || char === ']') depth -= 1;
    if (depth === 0 && (char === '"' || char === '}' || char === ']')) return at + 1;
  }
  return text.length;
}

function afterString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

function space(text: string, start: number): number {
  let at = start;
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1;
  return at;
}
