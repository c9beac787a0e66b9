import type { Sight } from './attribute.ts';
import { type Bucket, IndexNode, type IndexTable } from './index-node.ts';
import { Term } from './term.ts';
import type { TrieVisitor } from './text-trie.ts';

/** Finds the first term that holds, by an index; used again for each request. */
export class TermSearch implements TrieVisitor<Bucket> {
  readonly #root: IndexNode;
  readonly #sight: Sight;
  #found: Term | undefined;
  #order = Number.POSITIVE_INFINITY;

  constructor(root: IndexNode, sight: Sight) {
    this.#root = root;
    this.#sight = sight;
  }

  /** The term with the smallest order of those that hold for what is in sight. */
  first(): Term | undefined {
    this.#found = undefined;
    this.#order = Number.POSITIVE_INFINITY;
    this.#node(this.#root);
    return this.#found;
  }

  visit(bucket: Bucket): void {
    if (bucket instanceof Term) this.#term(bucket);
    else if (bucket instanceof IndexNode) this.#node(bucket);
    else this.#terms(bucket);
  }

  #node(node: IndexNode): void {
    if (node.first >= this.#order) return;
    this.#terms(node.rest);
    for (const table of node.tables) lookUp(table, this.#sight, this);
  }

  #terms(terms: readonly Term[]): void {
    for (const term of terms) {
      if (term.order >= this.#order) return; // they are in their order
      this.#term(term);
    }
  }

  #term(term: Term): void {
    if (term.order >= this.#order || !term.holds(this.#sight)) return;
    this.#found = term;
    this.#order = term.order;
  }
}

/** Tells of every bucket of a table that what is in sight leads to. */
export function lookUp(table: IndexTable, sight: Sight, visitor: TrieVisitor<Bucket>): void {
  const seen = sight.read(table.attribute);
  if (seen === undefined) return;
  if (typeof seen === 'string') lookUpOne(table, seen, visitor);
  else for (const one of seen) lookUpOne(table, one, visitor);
}

function lookUpOne({ exact, starts, ends }: IndexTable, text: string, visitor: TrieVisitor<Bucket>): void {
  const bucket = exact.get(text);
  if (bucket !== undefined) visitor.visit(bucket);
  if (starts !== undefined) starts.walk(text, visitor);
  if (ends !== undefined) ends.walk(text, visitor);
}
