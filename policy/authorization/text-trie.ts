/** Who is told of what stands on the way of a text. */
export interface TrieVisitor<Value> {
  visit(value: Value): void;
}

/** A node: the text of the edge that leads to it, and what stands there. */
class TrieNode<Value> {
  label: string;
  /** The first code unit of the label: to compare it costs less than to read it from the text. */
  code: number;
  /** By the first code unit of their labels, ascending. */
  children: TrieNode<Value>[] = NO_CHILDREN;
  /** What follows a whole segment of a path, whatever it is (`{*}`). */
  segment: TrieNode<Value> | undefined = undefined;
  /** For texts that begin with what leads here. */
  start: Value | undefined = undefined;
  /** For texts that are what leads here. */
  whole: Value | undefined = undefined;

  constructor(label: string) {
    this.label = label;
    this.code = label.charCodeAt(0);
  }
}

const NO_CHILDREN: never[] = [];
const SLASH = 0x2f;

/**
 * Texts by their beginning (or, read backwards, by their end), with path templates among them: a radix tree. A walk costs the length
 * of the text, however many there are.
 */
export class TextTrie<Value> {
  readonly #root = new TrieNode<Value>('');
  readonly #isReversed: boolean;

  constructor(direction: 'forwards' | 'backwards') {
    this.#isReversed = direction === 'backwards';
  }

  /** For all texts that begin with `text` (read backwards: end with it). `merge` gets what stands there. */
  addStart(text: string, merge: (before: Value | undefined) => Value): void {
    const node = this.#nodeOf(this.#root, this.#isReversed ? reversed(text) : text);
    node.start = merge(node.start);
  }

  /** For paths that `pieces` make up, with one whole segment between each two; `isOpen`: whatever follows the last. */
  addTemplate(pieces: readonly string[], isOpen: boolean, merge: (before: Value | undefined) => Value): void {
    let node = this.#root;
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) {
        node.segment ??= new TrieNode('');
        node = node.segment;
      }
      node = this.#nodeOf(node, piece);
    }
    if (isOpen) node.start = merge(node.start);
    else node.whole = merge(node.whole);
  }

  /** Tells of everything that stands for the text. */
  walk(text: string, visitor: TrieVisitor<Value>): void {
    this.#walk(this.#root, text, 0, visitor);
  }

  /** Whether anything stands for the text. Only of what `addStart` put there. */
  matches(text: string): boolean {
    let node: TrieNode<Value> | undefined = this.#root;
    let position = 0;
    while (node !== undefined) {
      if (node.start !== undefined) return true;
      if (position === text.length) return false;
      node = this.#step(node, text, position);
      if (node !== undefined) position += node.label.length;
    }
    return false;
  }

  /** What stands anywhere. */
  *values(): Iterable<Value> {
    const pending = [this.#root];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (node.start !== undefined) yield node.start;
      if (node.whole !== undefined) yield node.whole;
      if (node.segment !== undefined) pending.push(node.segment);
      pending.push(...node.children);
    }
  }

  /** The texts that `addStart` was given. */
  *starts(): Iterable<string> {
    const pending = [{ node: this.#root, text: '' }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { node, text } = next;
      if (node.start !== undefined) yield this.#isReversed ? reversed(text) : text;
      for (const child of node.children) pending.push({ node: child, text: text + child.label });
    }
  }

  #walk(from: TrieNode<Value>, text: string, start: number, visitor: TrieVisitor<Value>): void {
    let node: TrieNode<Value> | undefined = from;
    let position = start;
    while (node !== undefined) {
      if (node.start !== undefined) visitor.visit(node.start);
      if (node.segment !== undefined) {
        const end = segmentEnd(text, position);
        if (end > position) this.#walk(node.segment, text, end, visitor);
      }
      if (position === text.length) {
        if (node.whole !== undefined) visitor.visit(node.whole);
        return;
      }
      node = this.#step(node, text, position);
      if (node !== undefined) position += node.label.length;
    }
  }

  /** The child whose label the text goes on with. */
  #step(node: TrieNode<Value>, text: string, position: number): TrieNode<Value> | undefined {
    const code = this.#codeAt(text, position);
    const child = node.children[placeOf(node.children, code)];
    if (child === undefined || child.code !== code) return undefined;
    const { label } = child;
    if (label.length > text.length - position) return undefined;
    for (let index = 1; index < label.length; index++) {
      if (label.charCodeAt(index) !== this.#codeAt(text, position + index)) return undefined;
    }
    return child;
  }

  #codeAt(text: string, position: number): number {
    return text.charCodeAt(this.#isReversed ? text.length - 1 - position : position);
  }

  /** The node that `text` leads to from `from`; edges are split where it leaves them. */
  #nodeOf(from: TrieNode<Value>, text: string): TrieNode<Value> {
    let node = from;
    let position = 0;
    while (position < text.length) {
      const place = placeOf(node.children, text.charCodeAt(position));
      const child = node.children[place];
      if (child === undefined || child.code !== text.charCodeAt(position)) {
        const made = new TrieNode<Value>(text.slice(position));
        if (node.children === NO_CHILDREN) node.children = [made];
        else node.children.splice(place, 0, made);
        return made;
      }
      const shared = sharedLength(child.label, text, position);
      if (shared < child.label.length) node.children[place] = split(child, shared);
      node = node.children[place] ?? child;
      position += shared;
    }
    return node;
  }
}

/** Where the child with this first code unit is, or would be. */
function placeOf<Value>(children: readonly TrieNode<Value>[], code: number): number {
  let low = 0;
  let high = children.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((children[middle]?.code ?? 0) < code) low = middle + 1;
    else high = middle;
  }
  return low;
}

function split<Value>(child: TrieNode<Value>, at: number): TrieNode<Value> {
  const upper = new TrieNode<Value>(child.label.slice(0, at));
  child.label = child.label.slice(at);
  child.code = child.label.charCodeAt(0);
  upper.children = [child];
  return upper;
}

function sharedLength(label: string, text: string, position: number): number {
  let length = 0;
  const limit = Math.min(label.length, text.length - position);
  while (length < limit && label.charCodeAt(length) === text.charCodeAt(position + length)) length++;
  return length;
}

function segmentEnd(text: string, start: number): number {
  let end = start;
  while (end < text.length && text.charCodeAt(end) !== SLASH) end++;
  return end;
}

/** By code units, as texts are compared. */
function reversed(text: string): string {
  let result = '';
  for (let index = text.length - 1; index >= 0; index--) result += text.charAt(index);
  return result;
}
