/** Code points by sorted ranges that do not touch: `[[0x30, 0x39]]`. */
export type CodeRanges = readonly (readonly [number, number])[];

/** What a pattern consists of, in its order. Ranges are at least what a set can match. */
export type PatternToken =
  | { readonly kind: 'set'; readonly ranges: CodeRanges }
  /** `^`, `$`; `\b` and `\B`. */
  | { readonly kind: 'assertion'; readonly at: 'start' | 'end' | 'word' }
  | { readonly kind: 'open' | 'close' | 'or' }
  | { readonly kind: 'quantifier'; readonly least: number; readonly most: number };

export interface Linearity {
  /** A backtracking engine needs time linear in the length of the text. */
  readonly isLinear: boolean;
  /** Units of work (work-budget.ts) that each character of a text may cost it, in about that order; 0 where it is not linear. */
  readonly weight: number;
}

/** Longer patterns are not looked at. */
const MAX_TOKENS = 400;
/** Deeper nested ones neither. */
const MAX_GROUP_DEPTH = 20;
/** Characters that a match may have which can begin anywhere: each place of a text is tried. */
const MAX_FLOATING_LENGTH = 64;

/** Characters that the engine compares in the time of a unit of work. */
const STEPS_OF_A_UNIT = 8;

const NOT_LINEAR: Linearity = { isLinear: false, weight: 0 };

export const ALL_CODES: CodeRanges = [[0, 0x10ffff]];
const NONE: CodeRanges = [];

/**
 * Whether backtracking is linear, which is provable where every choice is made by the characters that come next.
 *
 * A backtracking matcher chooses at `|`, between the branches, and at a quantifier of variable count, between another round and going on.
 * Of every choice this asks (`isDecided`) that the sequences of single sets which its ways begin with, followed by what can come after them,
 * differ in a set that is disjoint from the other's at the same place; that at most one branch can match the empty text; and that nothing which is
 * repeated can. Then:
 *
 * 1. At most one way of a choice gets beyond those sequences. Any other fails within them: they hold no choice of their own, and what
 *    follows the last of them, were it reached, could not take the character that is there. Between two characters that are taken the matcher passes each
 *    part of the pattern at most once, since nothing empty is repeated and no two branches are empty. A wrong way so costs at most the
 *    length of the pattern, whatever the text.
 * 2. So there is one way at most that takes characters beyond that, and it takes each of them once. Where it fails, the matcher goes back to the choices that
 *    it passed, at most the length of the pattern for each character, whose other ways fail as in 1.
 *
 * In all: the length of the text times a factor that depends on the pattern alone. Assertions take nothing and only make ways fail. A pattern that is not
 * anchored is tried at each place of the text, and must have a bounded match for that to be linear. (Brüggemann-Klein and Wood call such expressions
 * one-unambiguous; with counters: Hovland. The conditions here are those of LL(1) grammars, with fixed prefixes looked past.)
 */
export function linearityOf(tokens: readonly PatternToken[]): Linearity {
  const choices = tokens.filter(({ kind }) => kind === 'or' || kind === 'quantifier').length;
  const node = tokens.length > MAX_TOKENS ? undefined : new TokenReader(tokens).read();
  if (node === undefined) return NOT_LINEAR;
  const hasStart = isAnchored(node);
  // V8 begins to look for a match that must end with the text as many UTF-16 units before its end as the match has code points: `/[^a]$/u` finds
  // none in a text that ends with an emoji.
  const hasEnd = tokens.some((token) => token.kind === 'assertion' && token.at === 'end');
  if (!hasStart && (node.longest > MAX_FLOATING_LENGTH || hasEnd)) return NOT_LINEAR;
  const places = hasStart ? 1 : Math.ceil(node.longest / STEPS_OF_A_UNIT);
  return isDecided(node, NONE) ? { isLinear: true, weight: Math.max(1, places) * (1 + choices) } : NOT_LINEAR;
}

interface Common {
  readonly isEmptiable: boolean;
  /** What a match that is not empty begins with. */
  readonly first: CodeRanges;
  /** Characters of the longest match; Infinity: there is none. */
  readonly longest: number;
}
type Node = Common &
  (
    | { readonly kind: 'set' }
    | { readonly kind: 'assertion'; readonly isStart: boolean }
    | { readonly kind: 'sequence' | 'branches'; readonly parts: readonly Node[] }
    | { readonly kind: 'repetition'; readonly body: Node; readonly least: number; readonly most: number }
  );

/** Builds the tree of a pattern. */
class TokenReader {
  readonly #tokens: readonly PatternToken[];
  #at = 0;

  constructor(tokens: readonly PatternToken[]) {
    this.#tokens = tokens;
  }

  /** Undefined: groups do not end, or are nested too deep. */
  read(): Node | undefined {
    const node = this.#branches(0);
    return this.#at === this.#tokens.length ? node : undefined;
  }

  #branches(depth: number): Node | undefined {
    const parts: Node[] = [];
    for (;;) {
      const part = this.#sequence(depth);
      if (part === undefined) return undefined;
      parts.push(part);
      if (this.#tokens[this.#at]?.kind !== 'or') return branches(parts);
      this.#at += 1;
    }
  }

  #sequence(depth: number): Node | undefined {
    const parts: Node[] = [];
    for (let token = this.#tokens[this.#at]; token !== undefined; token = this.#tokens[this.#at]) {
      if (token.kind === 'or' || token.kind === 'close') break;
      const part = this.#part(token, depth);
      if (part === undefined) return undefined;
      const next = this.#tokens[this.#at];
      if (next?.kind !== 'quantifier') {
        parts.push(part);
        continue;
      }
      this.#at += 1;
      parts.push(repetition(part, next.least, next.most));
    }
    return sequence(parts);
  }

  #part(token: PatternToken, depth: number): Node | undefined {
    this.#at += 1;
    switch (token.kind) {
      case 'set':
        return { kind: 'set', isEmptiable: false, first: token.ranges, longest: 1 };
      case 'assertion':
        return { kind: 'assertion', isStart: token.at === 'start', isEmptiable: true, first: NONE, longest: 0 };
      case 'open': {
        if (depth === MAX_GROUP_DEPTH) return undefined;
        const node = this.#branches(depth + 1);
        if (node === undefined || this.#tokens[this.#at]?.kind !== 'close') return undefined;
        this.#at += 1;
        return node;
      }
      default:
        return undefined;
    }
  }
}

function branches(parts: readonly Node[]): Node {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  return {
    kind: 'branches',
    parts,
    isEmptiable: parts.some(({ isEmptiable }) => isEmptiable),
    first: union(parts.map(({ first }) => first)),
    longest: Math.max(...parts.map(({ longest }) => longest)),
  };
}

function sequence(parts: readonly Node[]): Node {
  const end = parts.findIndex(({ isEmptiable }) => !isEmptiable);
  return {
    kind: 'sequence',
    parts,
    isEmptiable: end < 0,
    first: union(parts.slice(0, end < 0 ? undefined : end + 1).map(({ first }) => first)),
    longest: parts.reduce((sum, { longest }) => sum + longest, 0),
  };
}

function repetition(body: Node, least: number, most: number): Node {
  const longest = body.longest === 0 || most === 0 ? 0 : body.longest * most;
  return {
    kind: 'repetition',
    body,
    least,
    most,
    isEmptiable: least === 0 || body.isEmptiable,
    first: body.first,
    longest,
  };
}

/** Every match begins at the start of the text. */
function isAnchored(node: Node): boolean {
  if (node.kind === 'assertion') return node.isStart;
  if (node.kind === 'branches') return node.parts.every(isAnchored);
  const [head] = node.kind === 'sequence' ? node.parts : [];
  return head !== undefined && isAnchored(head);
}

/** Every choice within is made by what comes next. `follow`: what can come behind the node; nothing at the end of the pattern. */
function isDecided(node: Node, follow: CodeRanges): boolean {
  switch (node.kind) {
    case 'set':
    case 'assertion':
      return true;
    case 'sequence': {
      let behind = follow;
      for (const part of node.parts.toReversed()) {
        if (!isDecided(part, behind)) return false;
        behind = part.isEmptiable ? union([part.first, behind]) : part.first;
      }
      return true;
    }
    case 'branches': {
      if (node.parts.filter(({ isEmptiable }) => isEmptiable).length > 1) return false;
      const ways = node.parts.map((part) => wayOf(part, follow));
      const areApart = ways.every((way, index) => ways.slice(0, index).every((other) => differ(way, other)));
      return areApart && node.parts.every((part) => isDecided(part, follow));
    }
    case 'repetition': {
      const { body, least, most } = node;
      if (body.isEmptiable) return false;
      if (least !== most && !areDisjoint(body.first, follow)) return false;
      return isDecided(body, most > 1 ? union([body.first, follow]) : follow);
    }
  }
}

/** The single sets that a way begins with, and what can come behind them. */
function wayOf(node: Node, follow: CodeRanges): readonly CodeRanges[] {
  // Assertions take no character.
  const parts = flat(node).filter(({ kind }) => kind !== 'assertion');
  const end = parts.findIndex(({ kind }) => kind !== 'set');
  const fixed = parts.slice(0, end < 0 ? undefined : end).map(({ first }) => first);
  const rest = sequence(end < 0 ? [] : parts.slice(end));
  return [...fixed, rest.isEmptiable ? union([rest.first, follow]) : rest.first];
}

/** The parts of sequences within sequences. */
function flat(node: Node): readonly Node[] {
  return node.kind === 'sequence' ? node.parts.flatMap(flat) : [node];
}

function differ(way: readonly CodeRanges[], other: readonly CodeRanges[]): boolean {
  return way.some((ranges, index) => {
    const others = other[index];
    return others !== undefined && areDisjoint(ranges, others);
  });
}

function areDisjoint(left: CodeRanges, right: CodeRanges): boolean {
  let at = 0;
  for (const [low, high] of left) {
    while ((right[at]?.[1] ?? Number.POSITIVE_INFINITY) < low) at += 1;
    if ((right[at]?.[0] ?? Number.POSITIVE_INFINITY) <= high) return false;
  }
  return true;
}

/** Ranges in any order become such as `CodeRanges` are. */
export function union(sets: readonly CodeRanges[]): CodeRanges {
  const [only = NONE, ...more] = sets.filter(({ length }) => length > 0);
  if (more.length === 0) return only;
  const joined: [number, number][] = [];
  for (const [low, high] of [...only, ...more.flat()].sort(([left], [right]) => left - right)) {
    const last = joined.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else joined.push([low, high]);
  }
  return joined;
}

/** All code points that are not in a set. */
export function complement(ranges: CodeRanges): CodeRanges {
  const outside: [number, number][] = [];
  let from = 0;
  for (const [low, high] of ranges) {
    if (low > from) outside.push([from, low - 1]);
    from = high + 1;
  }
  if (from <= 0x10ffff) outside.push([from, 0x10ffff]);
  return outside;
}
