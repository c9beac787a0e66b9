import type { Attribute } from './attribute.ts';
import type { Term } from './term.ts';
import type { TextTrie } from './text-trie.ts';

/** Where the terms are that one value of an attribute leads to. */
export type Bucket = Term | readonly Term[] | IndexNode;

/** Terms by one attribute. */
export interface IndexTable {
  readonly attribute: Attribute;
  /** By the whole value. */
  readonly exact: ReadonlyMap<string, Bucket>;
  /** By how it begins, path templates among them. */
  readonly starts: TextTrie<Bucket> | undefined;
  /** By how it ends. */
  readonly ends: TextTrie<Bucket> | undefined;
}

/** Terms dealt out by attributes, each in one table. */
export class IndexNode {
  readonly tables: readonly IndexTable[];
  /** Terms that no table could tell apart, in their order. */
  readonly rest: readonly Term[];
  /** The smallest order below. */
  readonly first: number;

  constructor(tables: readonly IndexTable[], rest: readonly Term[], first: number) {
    this.tables = tables;
    this.rest = rest;
    this.first = first;
  }
}
