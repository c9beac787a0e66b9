import { finish } from '../steps/finish.ts';
import type { Steps } from '../steps/take-in-slices.ts';
import { TrieNode } from './trie-node.ts';

/** Who is told of what stands on the way of a text. */
export interface TrieVisitor<Value> {
  visit(value: Value): void;
}

const SLASH = 0x2f;
/** Nodes that are laid out in one step. */
const NODES_A_STEP = 512;

/**
 * What a node has in the table, in 32-bit numbers; children of one node stand in a row, by the first code unit of their labels. Nodes are
 * known by where they begin.
 */
const CODE = 0;
const LABEL_AT = 1;
const LABEL_LENGTH = 2;
const FIRST_CHILD = 3;
const CHILDREN = 4;
/** Places in `values`, from 1; 0: nothing. Of `SEGMENT` the node. */
const SEGMENT = 5;
const START = 6;
const WHOLE = 7;
const NODE_BITS = 3;
const NODE_SIZE = 1 << NODE_BITS;

/** Texts by their beginning or, read backwards, by their end, with path templates among them, until `build`. */
export class TextTrieBuilder<Value> {
  readonly #root = new TrieNode<Value>('');
  readonly #isReversed: boolean;

  constructor(direction: 'forwards' | 'backwards') {
    this.#isReversed = direction === 'backwards';
  }

  /** For all texts that begin with `text` (read backwards: end with it). */
  addStart(text: string, value: Value): void {
    this.#root.nodeOf(this.#isReversed ? reversed(text) : text).start = value;
  }

  /** For paths that `pieces` make up, with one whole segment between each two; `isOpen`: whatever follows the last. */
  addTemplate(pieces: readonly string[], isOpen: boolean, value: Value): void {
    let node = this.#root;
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) {
        node.segment ??= new TrieNode('');
        node = node.segment;
      }
      node = node.nodeOf(piece);
    }
    if (isOpen) node.start = value;
    else node.whole = value;
  }

  build(): TextTrie<Value> {
    return finish(this.building());
  }

  /** The same in steps. */
  *building(): Steps<TextTrie<Value>> {
    const nodes = [this.#root];
    const table: number[] = [];
    const values: Value[] = [];
    const labels: string[] = [];
    let labelAt = 0;
    const place = (value: Value | undefined) => (value === undefined ? 0 : values.push(value));
    for (let index = 0; index < nodes.length; index++) {
      if (index % NODES_A_STEP === 0) yield;
      const { label, children, segment, start, whole } = nodes[index] as TrieNode<Value>;
      const firstChild = nodes.length;
      nodes.push(...children);
      const segmentAt = segment === undefined ? 0 : (nodes.push(segment) - 1) * NODE_SIZE;
      table.push(label.charCodeAt(0) || 0, labelAt, label.length, firstChild * NODE_SIZE, children.length, segmentAt);
      table.push(place(start), place(whole));
      labels.push(label);
      labelAt += label.length;
    }
    return new TextTrie(Int32Array.from(table), labels.join(''), values, this.#isReversed);
  }
}

/**
 * Texts by their beginning or their end: a radix tree. A walk costs the length of the text, however many there are. It is one table:
 * nodes that are objects of their own cost more to fetch from memory than to compare.
 */
export class TextTrie<Value> {
  readonly #nodes: Int32Array;
  readonly #labels: string;
  readonly #values: readonly Value[];
  readonly #isReversed: boolean;

  constructor(nodes: Int32Array, labels: string, values: readonly Value[], isReversed: boolean) {
    this.#nodes = nodes;
    this.#labels = labels;
    this.#values = values;
    this.#isReversed = isReversed;
  }

  /** Tells of everything that stands for the text. */
  walk(text: string, visitor: TrieVisitor<Value>): void {
    this.#walk(0, text, 0, visitor);
  }

  /** Whether anything stands for the text. Only of what `addStart` put there. */
  matches(text: string): boolean {
    let position = 0;
    for (let node = 0; node !== -1; ) {
      if (this.#at(node, START) !== 0) return true;
      if (position === text.length) return false;
      node = this.#step(node, text, position);
      if (node !== -1) position += this.#at(node, LABEL_LENGTH);
    }
    return false;
  }

  /** What stands anywhere. */
  get values(): readonly Value[] {
    return this.#values;
  }

  /** The texts that `addStart` was given. */
  *starts(): Iterable<string> {
    const pending = [{ node: 0, text: '' }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { node, text } = next;
      if (this.#at(node, START) !== 0) yield this.#isReversed ? reversed(text) : text;
      const first = this.#at(node, FIRST_CHILD);
      for (let child = first; child < first + this.#at(node, CHILDREN) * NODE_SIZE; child += NODE_SIZE) {
        const at = this.#at(child, LABEL_AT);
        pending.push({ node: child, text: text + this.#labels.slice(at, at + this.#at(child, LABEL_LENGTH)) });
      }
    }
  }

  /** `from`: where the node begins in the table. */
  #walk(from: number, text: string, start: number, visitor: TrieVisitor<Value>): void {
    const nodes = this.#nodes;
    let position = start;
    for (let node = from; node !== -1; ) {
      const above = nodes[node + START] as number;
      if (above !== 0) visitor.visit(this.#values[above - 1] as Value);
      const segment = nodes[node + SEGMENT] as number;
      if (segment !== 0) {
        const end = segmentEnd(text, position);
        if (end > position) this.#walk(segment, text, end, visitor);
      }
      if (position === text.length) {
        const whole = nodes[node + WHOLE] as number;
        if (whole !== 0) visitor.visit(this.#values[whole - 1] as Value);
        return;
      }
      node = this.#step(node, text, position);
      if (node !== -1) position += nodes[node + LABEL_LENGTH] as number;
    }
  }

  /** The child whose label the text goes on with; -1: none. */
  #step(node: number, text: string, position: number): number {
    const nodes = this.#nodes;
    const isReversed = this.#isReversed;
    const code = text.charCodeAt(isReversed ? text.length - 1 - position : position);
    let low = nodes[node + FIRST_CHILD] as number;
    let high = low + ((nodes[node + CHILDREN] as number) - 1) * NODE_SIZE;
    while (low < high) {
      const middle = low + ((((high - low) >> NODE_BITS) >> 1) << NODE_BITS);
      if ((nodes[middle + CODE] as number) < code) low = middle + NODE_SIZE;
      else high = middle;
    }
    if (low > high || nodes[low + CODE] !== code) return -1;
    const length = nodes[low + LABEL_LENGTH] as number;
    if (length > text.length - position) return -1;
    const labels = this.#labels;
    const at = nodes[low + LABEL_AT] as number;
    for (let index = 1; index < length; index++) {
      const other = isReversed ? text.length - 1 - position - index : position + index;
      if (labels.charCodeAt(at + index) !== text.charCodeAt(other)) return -1;
    }
    return low;
  }

  #at(node: number, field: number): number {
    return this.#nodes[node + field] as number;
  }
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
