import type { Attribute } from './attribute.ts';
import { PositiveClause } from './clause.ts';
import type { Term } from './term.ts';
import type { Pattern } from './text-set.ts';

/** A text by which a term is found, in one of three ways, or the pieces of a path template. */
export type IndexKey =
  | { readonly kind: 'exact' | 'start' | 'end'; readonly text: string; readonly name: string }
  | { readonly kind: 'template'; readonly name: string; readonly pieces: readonly string[]; readonly isOpen: boolean };

/** The keys of a term under one attribute: no request that none of them leads to it from satisfies it. */
export interface TermKeys {
  readonly attribute: Attribute;
  readonly keys: readonly IndexKey[];
}

/** By attribute; the clause with the fewest keys where two are of one. What is negated, or matches anything, has none. */
export function keysOf(term: Term, known: Map<PositiveClause, TermKeys | undefined>): readonly TermKeys[] {
  const byAttribute = new Map<Attribute, TermKeys>();
  for (const clause of term.clauses) {
    if (!(clause instanceof PositiveClause)) continue;
    if (!known.has(clause)) known.set(clause, keysOfClause(clause));
    const found = known.get(clause);
    if (found === undefined) continue;
    const before = byAttribute.get(found.attribute);
    if (before === undefined || found.keys.length < before.keys.length) byAttribute.set(found.attribute, found);
  }
  return [...byAttribute.values()];
}

function keysOfClause({ attribute, set }: PositiveClause): TermKeys | undefined {
  const { patterns } = set;
  if (patterns === undefined) return undefined;
  const keys: IndexKey[] = [];
  const names = new Set<string>();
  for (const pattern of patterns) {
    const key = keyOf(pattern);
    if (key === undefined) return undefined;
    if (names.has(key.name)) continue;
    names.add(key.name);
    keys.push(key);
  }
  return { attribute, keys };
}

/** Undefined: it says nothing of how a text begins or ends. */
function keyOf(pattern: Pattern): IndexKey | undefined {
  switch (pattern.kind) {
    case 'exact':
      return textKey('exact', pattern.text);
    case 'prefix':
      return pattern.text === '' ? undefined : textKey('start', pattern.text);
    case 'suffix':
      return pattern.text === '' ? undefined : textKey('end', pattern.text);
    case 'template':
      return templateKey(pattern.text);
    case 'any':
    case 'present':
      return undefined;
  }
}

function textKey(kind: 'exact' | 'start' | 'end', text: string): IndexKey {
  return { kind, text, name: kind === 'exact' ? `=${text}` : `${kind} ${text}` };
}

/** What stands behind `{**}` says more than what stands before it where it is longer. */
function templateKey(template: string): IndexKey {
  const [closed = '', tail] = template.split('{**}');
  const pieces = closed.split('{*}');
  const literal = pieces.reduce((sum, { length }) => sum + length, 0);
  const isOpen = tail !== undefined;
  if (isOpen && tail.length > literal) return textKey('end', tail);
  if (isOpen && pieces.length === 1) return textKey('start', closed);
  return { kind: 'template', name: `template ${isOpen ? `${closed}{**}` : closed}`, pieces, isOpen };
}
