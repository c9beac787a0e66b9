import { pathSpellings } from '../path/path-spellings.ts';
import { compilePathTemplate, isPathTemplate } from '../path/path-template.ts';

/** True when a value satisfies one of the patterns it was compiled from. */
export type MatchesValue = (value: string) => boolean;

/**
 * Compiles Istio's string patterns: exact, `prefix*`, `*suffix`, `*` (present and not empty). A leading `*`
 * goes first, so that `*a*` is the suffix `a*`, as in Istio.
 */
export function compilePatterns(patterns: readonly string[]): MatchesValue {
  return anyOf(
    patterns.filter((pattern) => !pattern.startsWith('*') && !pattern.endsWith('*')),
    patterns.filter((pattern) => pattern.startsWith('*') || pattern.endsWith('*')).map(compileWildcard),
  );
}

/** As `compilePatterns`, without regard to case. */
export function compileCaselessPatterns(patterns: readonly string[]): MatchesValue {
  const matches = compilePatterns(patterns.map((pattern) => pattern.toLowerCase()));
  return (value) => matches(value.toLowerCase());
}

/** As `compilePatterns`, with the templates `{*}` and `{**}`. */
export function compilePathPatterns(patterns: readonly string[]): MatchesValue {
  const templates = patterns.filter(isPathTemplate);
  const matches = compilePatterns(patterns.filter((pattern) => !isPathTemplate(pattern)).flatMap(pathSpellings));
  return templates.length === 0 ? matches : anyOf([], [matches, ...templates.map(compilePathTemplate)]);
}

/** Namespaces, where Istio lets `*` stand for any characters at any place. */
export function compileGlobs(patterns: readonly string[]): MatchesValue {
  return anyOf(
    patterns.filter((pattern) => !pattern.includes('*')),
    patterns.filter((pattern) => pattern.includes('*')).map(compileGlob),
  );
}

function compileWildcard(pattern: string): MatchesValue {
  if (pattern === '*') return (value) => value !== '';
  if (pattern.startsWith('*')) {
    const suffix = pattern.slice(1);
    return (value) => value.endsWith(suffix);
  }
  const prefix = pattern.slice(0, -1);
  return (value) => value.startsWith(prefix);
}

function compileGlob(pattern: string): MatchesValue {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop() ?? '';
  return (value) => {
    if (!value.startsWith(head) || !value.endsWith(tail)) return false;
    let position = head.length;
    for (const part of rest) {
      const found = value.indexOf(part, position);
      if (found === -1) return false;
      position = found + part.length;
    }
    return position <= value.length - tail.length;
  };
}

function anyOf(exact: readonly string[], others: readonly MatchesValue[]): MatchesValue {
  const [only] = exact;
  if (others.length === 0 && exact.length === 1) return (value) => value === only;
  const set = new Set(exact);
  if (others.length === 0) return (value) => set.has(value);
  const [other] = others;
  if (set.size === 0 && others.length === 1 && other !== undefined) return other;
  return (value) => {
    if (set.has(value)) return true;
    for (const matches of others) if (matches(value)) return true;
    return false;
  };
}
