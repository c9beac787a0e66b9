import { compilePathTemplate, isPathTemplate } from '../path/path-template.ts';
import { TextTrie, TextTrieBuilder } from './text-trie.ts';

/** Prefixes or suffixes of one set that are compared one by one; more of them stand in a trie. */
const MAX_LISTED = 16;

/** One of the values that a clause gives, as it is compared. */
export type Pattern =
  | { readonly kind: 'exact' | 'prefix' | 'suffix'; readonly text: string }
  /** Any text but the empty one. */
  | { readonly kind: 'any' }
  /** Any text. */
  | { readonly kind: 'present' }
  | PathTemplate;

export interface PathTemplate {
  readonly kind: 'template';
  readonly text: string;
  readonly matches: (path: string) => boolean;
}

/** Istio's string patterns: exact, `prefix*`, `*suffix`, `*`. A leading `*` goes first, so that `*a*` is the suffix `a*`. */
export function readPattern(value: string): Pattern {
  if (value === '*') return { kind: 'any' };
  if (value.startsWith('*')) return { kind: 'suffix', text: value.slice(1) };
  return value.endsWith('*') ? { kind: 'prefix', text: value.slice(0, -1) } : { kind: 'exact', text: value };
}

/** As `readPattern`, with the templates `{*}` and `{**}`. */
export function readPathPattern(value: string): Pattern {
  if (!isPathTemplate(value)) return readPattern(value);
  return { kind: 'template', text: value, matches: compilePathTemplate(value) };
}

/** What satisfies a clause: a text that one of the patterns matches. Shared by all clauses that give the same. */
export interface TextSet {
  has(text: string): boolean;
  /** One of these is true of every text in the set; undefined: nothing can be said of all of them. */
  readonly patterns: Iterable<Pattern> | undefined;
}

/** A set of patterns that is compiled. */
export class PatternSet implements TextSet {
  readonly #exact: string | ReadonlySet<string> | undefined;
  readonly #prefixes: readonly string[] | TextTrie<true> | undefined;
  readonly #suffixes: readonly string[] | TextTrie<true> | undefined;
  readonly #templates: readonly PathTemplate[] | undefined;
  #widest: 'any' | 'present' | undefined;

  constructor(patterns: readonly Pattern[]) {
    const texts = { exact: [] as string[], prefix: [] as string[], suffix: [] as string[] };
    const templates: PathTemplate[] = [];
    for (const pattern of patterns) {
      if (pattern.kind === 'template') templates.push(pattern);
      else if ('text' in pattern) texts[pattern.kind].push(pattern.text);
      else if (this.#widest !== 'present') this.#widest = pattern.kind;
    }
    this.#exact = texts.exact.length > 1 ? new Set(texts.exact) : texts.exact[0];
    this.#prefixes = listed(texts.prefix, 'forwards');
    this.#suffixes = listed(texts.suffix, 'backwards');
    this.#templates = templates.length > 0 ? templates : undefined;
  }

  has(text: string): boolean {
    if (this.#widest !== undefined && (text !== '' || this.#widest === 'present')) return true;
    const exact = this.#exact;
    if (exact !== undefined && (typeof exact === 'string' ? exact === text : exact.has(text))) return true;
    const prefixes = this.#prefixes;
    if (prefixes instanceof TextTrie) {
      if (prefixes.matches(text)) return true;
    } else if (prefixes !== undefined) {
      for (const prefix of prefixes) if (text.startsWith(prefix)) return true;
    }
    const suffixes = this.#suffixes;
    if (suffixes instanceof TextTrie) {
      if (suffixes.matches(text)) return true;
    } else if (suffixes !== undefined) {
      for (const suffix of suffixes) if (text.endsWith(suffix)) return true;
    }
    const templates = this.#templates;
    if (templates !== undefined) for (const template of templates) if (template.matches(text)) return true;
    return false;
  }

  get patterns(): Iterable<Pattern> | undefined {
    return this.#widest === undefined ? this.#narrow() : undefined;
  }

  *#narrow(): Iterable<Pattern> {
    const exact = this.#exact;
    if (typeof exact === 'string') yield { kind: 'exact', text: exact };
    else if (exact !== undefined) for (const text of exact) yield { kind: 'exact', text };
    for (const text of textsIn(this.#prefixes)) yield { kind: 'prefix', text };
    for (const text of textsIn(this.#suffixes)) yield { kind: 'suffix', text };
    yield* this.#templates ?? [];
  }
}

/**
 * Namespaces with Istio's `*`, which stands for any characters of the whole SPIFFE ID: what is given must be found there between
 * `/ns/` and a slash, wherever that is.
 */
export class NamespaceGlobs implements TextSet {
  readonly #globs: readonly (readonly string[])[];
  readonly patterns = undefined;

  constructor(values: readonly string[]) {
    this.#globs = values.map((value) => `*/ns/${value}/*`.split('*'));
  }

  has(uri: string): boolean {
    for (const parts of this.#globs) if (holds(parts, uri)) return true;
    return false;
  }
}

/** The parts in their order, the first and the last of them empty; the leftmost place for each is as good as any. */
function holds(parts: readonly string[], text: string): boolean {
  let position = 0;
  for (const part of parts) {
    const found = text.indexOf(part, position);
    if (found === -1) return false;
    position = found + part.length;
  }
  return true;
}

function listed(texts: readonly string[], direction: 'forwards' | 'backwards') {
  if (texts.length === 0) return undefined;
  if (texts.length <= MAX_LISTED) return texts;
  const trie = new TextTrieBuilder<true>(direction);
  for (const text of texts) trie.addStart(text, true);
  return trie.build();
}

function textsIn(found: readonly string[] | TextTrie<true> | undefined): Iterable<string> {
  return found instanceof TextTrie ? found.starts() : (found ?? []);
}
