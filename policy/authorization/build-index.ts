import type { Steps } from '../steps/take-in-slices.ts';
import type { Attribute } from './attribute.ts';
import type { PositiveClause } from './clause.ts';
import { type IndexKey, keysOf, type TermKeys } from './index-keys.ts';
import { type Bucket, IndexNode, type IndexTable } from './index-node.ts';
import { Term } from './term.ts';
import { type TextTrie, TextTrieBuilder } from './text-trie.ts';

/** Terms that are judged one by one: to tell them apart would cost as much. */
export const MAX_LEAF_TERMS = 8;
/** Places in tables, for each that the terms need at least: terms with many values in several fields would multiply. */
const PLACES_FACTOR = 4;

interface KeyedTerm {
  readonly term: Term;
  /** Of this term alone. */
  readonly id: number;
  readonly keys: readonly TermKeys[];
}

/** Terms of one key, until they have become a bucket. */
interface Pile {
  readonly key: IndexKey;
  readonly terms: KeyedTerm[];
}

/** Terms that are looked at in one step. */
const TERMS_A_STEP = 64;

/** Deals terms, which come in their order, out by what they say of a request. */
export function* buildingIndex(terms: readonly Term[]): Steps<IndexNode> {
  const known = new Map<PositiveClause, TermKeys | undefined>();
  const keyed: KeyedTerm[] = [];
  for (const [id, term] of terms.entries()) {
    keyed.push({ term, id, keys: keysOf(term, known) });
    if (id % TERMS_A_STEP === 0) yield;
  }
  const fewest = ({ keys }: KeyedTerm) =>
    keys.reduce((least, { keys: own }) => Math.min(least, own.length), keys[0]?.keys.length ?? 0);
  const least = keyed.reduce((sum, one) => sum + fewest(one), terms.length);
  return yield* new IndexBuilder(least * PLACES_FACTOR).node(keyed, new Set());
}

class IndexBuilder {
  #placesLeft: number;

  constructor(places: number) {
    this.#placesLeft = places;
  }

  *node(terms: readonly KeyedTerm[], used: ReadonlySet<Attribute>): Steps<IndexNode> {
    const first = terms[0]?.term.order ?? Number.POSITIVE_INFINITY;
    const choice = yield* chooseAttributes(terms, used);
    const rest: Term[] = [];
    const piles = new Map<Attribute, Map<string, Pile>>();
    for (const [index, keyed] of terms.entries()) {
      const chosen = choice[index];
      if (chosen === undefined) rest.push(keyed.term);
      else this.#pile(piles, chosen, keyed);
      if (index % TERMS_A_STEP === 0) yield;
    }
    const tables: IndexTable[] = [];
    for (const [attribute, byKey] of piles) {
      tables.push(yield* this.#table(attribute, byKey, new Set([...used, attribute])));
    }
    return new IndexNode(tables, rest, first);
  }

  #pile(piles: Map<Attribute, Map<string, Pile>>, { attribute, keys }: TermKeys, keyed: KeyedTerm): void {
    const byKey = piles.get(attribute) ?? new Map<string, Pile>();
    piles.set(attribute, byKey);
    this.#placesLeft -= keys.length;
    for (const key of keys) {
      const pile = byKey.get(key.name);
      if (pile === undefined) byKey.set(key.name, { key, terms: [keyed] });
      else pile.terms.push(keyed);
    }
  }

  *#table(attribute: Attribute, byKey: ReadonlyMap<string, Pile>, used: ReadonlySet<Attribute>): Steps<IndexTable> {
    const exact = new Map<string, Bucket>();
    let starts: TextTrieBuilder<Bucket> | undefined;
    let ends: TextTrieBuilder<Bucket> | undefined;
    const shared = new Map<string, IndexNode>();
    let keys = 0;
    for (const { key, terms } of byKey.values()) {
      if (++keys % TERMS_A_STEP === 0) yield;
      const bucket = yield* this.#bucket(terms, used, shared);
      if (key.kind === 'exact') exact.set(key.text, bucket);
      else if (key.kind === 'end') {
        ends ??= new TextTrieBuilder('backwards');
        ends.addStart(key.text, bucket);
      } else {
        starts ??= new TextTrieBuilder('forwards');
        if (key.kind === 'template') starts.addTemplate(key.pieces, key.isOpen, bucket);
        else starts.addStart(key.text, bucket);
      }
    }
    const built = { starts: yield* buildOf(starts), ends: yield* buildOf(ends) };
    return { attribute, exact, ...built };
  }

  /** Values that lead to the same terms lead to the same node. */
  *#bucket(terms: readonly KeyedTerm[], used: ReadonlySet<Attribute>, shared: Map<string, IndexNode>): Steps<Bucket> {
    const [only] = terms;
    if (only !== undefined && terms.length === 1) return only.term;
    const isTellable = terms.length > MAX_LEAF_TERMS && terms.some(({ keys }) => keys.some(unless(used)));
    if (!isTellable || this.#placesLeft < terms.length) return terms.map(({ term }) => term);
    const name = terms.map(({ id }) => id).join();
    const known = shared.get(name);
    if (known !== undefined) return known;
    const made = yield* this.node(terms, used);
    shared.set(name, made);
    return made;
  }
}

/**
 * For each term the attribute by which it is found; undefined: none tells it from others. The fewer attributes, the fewer tables are
 * asked: one that leaves few enough terms together is taken for all that it does so for.
 */
function* chooseAttributes(
  terms: readonly KeyedTerm[],
  used: ReadonlySet<Attribute>,
): Steps<readonly (TermKeys | undefined)[]> {
  const counts = new Map<Attribute, Map<string, number>>();
  for (const [index, { keys }] of terms.entries()) {
    if (index % TERMS_A_STEP === 0) yield;
    for (const own of keys) {
      if (used.has(own.attribute)) continue;
      const byKey = counts.get(own.attribute) ?? new Map<string, number>();
      counts.set(own.attribute, byKey);
      for (const { name } of own.keys) byKey.set(name, (byKey.get(name) ?? 0) + 1);
    }
  }
  const good = new Map<Attribute, number>();
  const candidates: (readonly Candidate[])[] = [];
  for (const [index, { keys }] of terms.entries()) {
    if (index % TERMS_A_STEP === 0) yield;
    const found: Candidate[] = [];
    for (const own of keys) {
      const byKey = counts.get(own.attribute);
      if (used.has(own.attribute) || byKey === undefined) continue;
      const together = own.keys.reduce((most, { name }) => Math.max(most, byKey.get(name) ?? 0), 0);
      if (together <= MAX_LEAF_TERMS) good.set(own.attribute, (good.get(own.attribute) ?? 0) + 1);
      found.push({ own, together });
    }
    candidates.push(found);
  }
  yield;
  return candidates.map((found) => {
    let best = found[0];
    for (const candidate of found) if (best !== undefined && isBetter(candidate, best, good)) best = candidate;
    return best?.own;
  });
}

function* buildOf<Value>(trie: TextTrieBuilder<Value> | undefined): Steps<TextTrie<Value> | undefined> {
  return trie === undefined ? undefined : yield* trie.building();
}

/** A way to find a term, and how many terms it leads to together. */
interface Candidate {
  readonly own: TermKeys;
  readonly together: number;
}

function isBetter(one: Candidate, other: Candidate, good: ReadonlyMap<Attribute, number>): boolean {
  const isGood = one.together <= MAX_LEAF_TERMS;
  if (isGood !== other.together <= MAX_LEAF_TERMS) return isGood;
  if (!isGood) return one.together < other.together;
  return (good.get(one.own.attribute) ?? 0) > (good.get(other.own.attribute) ?? 0);
}

/** All terms below, some of them several times. */
export function* termsIn(bucket: Bucket): Iterable<Term> {
  if (bucket instanceof Term) yield bucket;
  else if (!(bucket instanceof IndexNode)) yield* bucket;
  else {
    yield* bucket.rest;
    for (const { exact, starts, ends } of bucket.tables) {
      for (const below of exact.values()) yield* termsIn(below);
      for (const below of starts?.values ?? []) yield* termsIn(below);
      for (const below of ends?.values ?? []) yield* termsIn(below);
    }
  }
}

function unless(used: ReadonlySet<Attribute>): (keys: TermKeys) => boolean {
  return ({ attribute }) => !used.has(attribute);
}
