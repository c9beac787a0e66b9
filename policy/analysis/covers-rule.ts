import { clause, NAMESPACE, type RuleClause, type RuleClauses } from './rule-clauses.ts';
import { coversPattern, type ValuePattern } from './value-pattern.ts';

/** Alternatives of one rule that are looked at: of more, nothing is said. */
const MAX_ALTERNATIVES = 64;
/** Patterns of one field, beside exact values, that a value is compared with: of more, nothing is said. */
const MAX_WILD_PATTERNS = 64;

/**
 * True where every request that `less` matches is matched by `more` too, whatever the action of either is: only what follows from
 * the texts of single clauses is found, so that false means no more than that it is not certain.
 */
export function coversRule(more: RuleClauses, less: RuleClauses): boolean {
  if (more.others !== '' && more.others !== less.others) return false;
  // A rule with HTTP fields, in whichever alternative, allows no TCP connection.
  if (more.hasHttp && !less.hasHttp) return false;
  if (more.from.length > MAX_ALTERNATIVES || more.to.length > MAX_ALTERNATIVES) return false;
  if (less.from.length > MAX_ALTERNATIVES || less.to.length > MAX_ALTERNATIVES) return false;
  return (
    coversPart(more.to, less.to, less.when) &&
    coversPart(more.from, less.from, less.when) &&
    more.when.every((wanted) => isImpliedByRule(wanted, less))
  );
}

/** Where each of the alternatives of the one is within an alternative of the other. */
function coversPart(more: RuleClauses['from'], less: RuleClauses['from'], when: RuleClauses['when']): boolean {
  if (more.length === 0) return true;
  if (less.length === 0) return coversAlternative(more, when, when);
  for (const given of less) if (!coversAlternative(more, given, when)) return false;
  return true;
}

function coversAlternative(
  more: RuleClauses['from'],
  given: readonly RuleClause[],
  when: RuleClauses['when'],
): boolean {
  return more.some((alternative) => {
    for (const wanted of alternative) if (!isImplied(wanted, given) && !isImplied(wanted, when)) return false;
    return true;
  });
}

function isImpliedByRule(wanted: RuleClause, { from, to, when }: RuleClauses): boolean {
  if (isImplied(wanted, when)) return true;
  return [from, to].some((part) => part.length > 0 && part.every((given) => isImplied(wanted, given)));
}

function isImplied(wanted: RuleClause, given: readonly RuleClause[]): boolean {
  for (const one of given) {
    if (one.attribute.name === wanted.attribute.name) {
      if (implies(one, wanted)) return true;
    } else if (wanted.attribute === NAMESPACE) {
      const derived = namespacesOf(one);
      if (derived !== undefined && implies(derived, wanted)) return true;
    }
  }
  return false;
}

/** Two clauses about the same. */
function implies(given: RuleClause, wanted: RuleClause): boolean {
  if (!wanted.isNegative) {
    return !given.isNegative && areWithin(given, wanted);
  }
  if (given.isNegative) return areWithin(wanted, given);
  // One of these values it has, and so none of those.
  if (!wanted.attribute.isSingle || given.wild.length > 0 || wanted.attribute.dialect === 'opaque') return false;
  return given.patterns.every((pattern) => wanted.patterns.every((refused) => !coversPattern(refused, pattern)));
}

function areWithin({ patterns }: RuleClause, more: RuleClause): boolean {
  for (const pattern of patterns) if (!isWithin(pattern, more)) return false;
  return true;
}

/** Whether one of the patterns of the clause covers this one. */
export function isWithin(pattern: ValuePattern, { exactTexts, wild }: RuleClause): boolean {
  if (pattern.form === 'exact' && exactTexts.has(pattern.text)) return true;
  let compared = 0;
  for (const one of wild) {
    if (coversPattern(one, pattern)) return true;
    if (++compared === MAX_WILD_PATTERNS) return false;
  }
  return false;
}

const NAMESPACE_OF_PRINCIPAL = /^[^/*]*\/ns\/([^/*]+)\/(?:sa\/|$)/;

const derivedNamespaces = new WeakMap<RuleClause, RuleClause | 'unknown'>();

/** The namespaces of callers whose principals are given. */
export function namespacesOf(given: RuleClause): RuleClause | undefined {
  if (given.isNegative || given.attribute.name !== 'source.principal') return undefined;
  const known = derivedNamespaces.get(given) ?? readNamespaces(given) ?? 'unknown';
  derivedNamespaces.set(given, known);
  return known === 'unknown' ? undefined : known;
}

function readNamespaces(given: RuleClause): RuleClause | undefined {
  const names: string[] = [];
  for (const { form, text } of given.patterns) {
    const isWhole = form === 'exact' || form === 'prefix' || (form === 'suffix' && text.startsWith('/ns/'));
    const name = isWhole ? NAMESPACE_OF_PRINCIPAL.exec(text)?.[1] : undefined;
    if (name === undefined) return undefined;
    names.push(name);
  }
  return clause(NAMESPACE, false, names, given.path);
}
