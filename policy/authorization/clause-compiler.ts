import { pathSpellings } from '../path/path-spellings.ts';
import { wireText } from '../path/wire-text.ts';
import type { PathNormalization } from '../workload-policy.ts';
import { allDomainsOf, allNamesOf, type OwnDomains } from './all-names-of.ts';
import { type Attribute, type AttributeReader, AttributeTable } from './attribute.ts';
import { ATTRIBUTES, type AttributeName } from './attributes.ts';
import { requestPrincipalPattern } from './claims.ts';
import { type Clause, type Comparison, NegativeClause, PositiveClause } from './clause.ts';
import { ipBlockPrefixes } from './ip-digits.ts';
import { NamespaceGlobs, type Pattern, PatternSet, readPathPattern, readPattern, type TextSet } from './text-set.ts';

/** Of what is compiled for no workload. */
export const NO_DOMAINS: OwnDomains = { names: [] };

/** Where a rule stands, and what its values are read by. */
export interface RuleScope {
  /** Of its policy. */
  readonly namespace: string;
  readonly own: OwnDomains;
}

/** How the values of a field are read. */
export type ValueForm =
  | 'texts'
  | 'caseless'
  | 'paths'
  | 'ports'
  | 'headers'
  | 'principals'
  | 'trustDomains'
  | 'serviceAccounts'
  | 'addresses'
  | 'requestPrincipals';

/** A field and its not-form. */
export interface FieldValues {
  readonly field: string;
  readonly values: readonly string[] | undefined;
  readonly notField: string;
  readonly notValues: readonly string[] | undefined;
}

type Comparing = PositiveClause | NegativeClause;

/** Compiles fields of the rules of one workload; what several of them give is there once. */
export class ClauseCompiler {
  readonly #pathMode: PathNormalization;
  readonly #attributes = new AttributeTable();
  /** By their form; then by the one value, or by all of them as JSON. */
  readonly #sets = { ofOne: new Map<string, Map<string, TextSet>>(), ofMany: new Map<string, Map<string, TextSet>>() };
  readonly #clauses = new Map<TextSet, Comparing[]>();

  /** `pathMode`: by which the paths of requests are read. */
  constructor(pathMode: PathNormalization = 'Refuse') {
    this.#pathMode = pathMode;
  }

  /** The clauses of a field that is compared as it is given; both must be satisfied. */
  field(name: AttributeName, form: ValueForm, given: FieldValues, scope: RuleScope): readonly Clause[] {
    const attribute = () => this.#attributes.of(name, ATTRIBUTES[name]);
    return this.#both(attribute, (values) => this.#set(form, values, scope), given);
  }

  /** As `field`, for an attribute that is named by the rule. */
  named(name: string, reader: () => AttributeReader, form: ValueForm, given: FieldValues): readonly Clause[] {
    const set = (values: readonly string[]) => this.#set(form, values, { namespace: '', own: NO_DOMAINS });
    return this.#both(() => this.#attributes.of(name, reader), set, given);
  }

  /** As `field`, for namespaces of the caller. */
  namespaces(given: FieldValues): readonly Clause[] {
    const attribute = (values: readonly string[]) => {
      const name = values.some(isGlob) ? 'uri' : 'namespace';
      return this.#attributes.of(name, ATTRIBUTES[name]);
    };
    return this.#both(attribute, (values) => this.#namespaceSet(values), given);
  }

  #both(
    attribute: (values: readonly string[]) => Attribute,
    set: (values: readonly string[]) => TextSet,
    { field, values, notField, notValues }: FieldValues,
  ): readonly Clause[] {
    const found: Clause[] = [];
    if (isGiven(values)) {
      const comparison = { field, attribute: attribute(values), values, set: set(values) };
      found.push(this.#shared(PositiveClause, comparison));
    }
    if (isGiven(notValues)) {
      const comparison = { field: notField, attribute: attribute(notValues), values: notValues, set: set(notValues) };
      found.push(this.#shared(NegativeClause, comparison));
    }
    return found;
  }

  #shared(kind: new (comparison: Comparison) => Comparing, comparison: Comparison): Clause {
    const { field, attribute, set } = comparison;
    const ofSet = this.#clauses.get(set);
    const known = ofSet?.find((one) => one instanceof kind && one.attribute === attribute && one.field === field);
    if (known !== undefined) return known;
    const made = new kind(comparison);
    if (ofSet === undefined) this.#clauses.set(set, [made]);
    else ofSet.push(made);
    return made;
  }

  #set(form: ValueForm, values: readonly string[], scope: RuleScope): TextSet {
    const kind = form === 'serviceAccounts' ? `${form} ${scope.namespace}` : form;
    return this.#sharedSet(kind, values, () => new PatternSet(patternsOf(form, values, scope, this.#pathMode)));
  }

  #namespaceSet(values: readonly string[]): TextSet {
    return this.#sharedSet('namespaces', values, () =>
      values.some(isGlob) ? new NamespaceGlobs(values) : new PatternSet(values.map(exact)),
    );
  }

  #sharedSet(form: string, values: readonly string[], make: () => TextSet): TextSet {
    const [only = ''] = values;
    const byForm = values.length === 1 ? this.#sets.ofOne : this.#sets.ofMany;
    const key = values.length === 1 ? only : JSON.stringify(values);
    let known = byForm.get(form);
    if (known === undefined) {
      known = new Map();
      byForm.set(form, known);
    }
    let set = known.get(key);
    if (set === undefined) {
      set = make();
      known.set(key, set);
    }
    return set;
  }
}

/** An empty list is read as absent, as in Istio. */
function isGiven(values: readonly string[] | undefined): values is readonly string[] {
  return values !== undefined && values.length > 0;
}

/** `ns`, `sa` and what has a slash are found at other places of an ID than that of its namespace. */
function isGlob(namespace: string): boolean {
  return /[*/]/.test(namespace) || namespace === 'ns' || namespace === 'sa';
}

function exact(text: string): Pattern {
  return { kind: 'exact', text };
}

function patternsOf(
  form: ValueForm,
  values: readonly string[],
  scope: RuleScope,
  pathMode: PathNormalization,
): readonly Pattern[] {
  switch (form) {
    case 'texts':
      return values.map(readPattern);
    case 'caseless':
      // As of headers: a `*` is satisfied by an empty authority too.
      return values.map((value) => (value === '*' ? { kind: 'present' } : readPattern(value.toLowerCase())));
    case 'paths':
      // Under Istio's modes byte by byte, as Envoy does.
      if (pathMode !== 'Refuse') return values.map((value) => readPathPattern(wireText(value)));
      return values.flatMap((value) => {
        const pattern = readPathPattern(value);
        return pattern.kind === 'template' ? [pattern] : pathSpellings(value).map(readPattern);
      });
    case 'ports':
      return values.map((value) => exact(String(Number(value)))); // they may have leading zeros
    case 'headers':
      // A `*` is satisfied by a header that is there, even with an empty value (Envoy's present_match).
      return values.map((value) => (value === '*' ? { kind: 'present' } : readPattern(value)));
    case 'principals':
      return values.flatMap((value) => allNamesOf(value, scope.own)).map(readPattern);
    case 'trustDomains':
      return values.flatMap((value) => allDomainsOf(value, scope.own)).map(readPattern);
    case 'serviceAccounts':
      return values.map((value) => ({ kind: 'suffix', text: accountEnding(value, scope.namespace) }));
    case 'addresses':
      return values.flatMap(ipBlockPrefixes).map((text) => ({ kind: 'prefix', text }));
    case 'requestPrincipals':
      return values.map(requestPrincipalPattern).map(readPattern);
  }
}

/** Of principals; the value is NAME (in the namespace of the policy) or NAMESPACE/NAME, in any trust domain. */
function accountEnding(value: string, namespace: string): string {
  const [first = '', second] = value.split('/');
  return second === undefined ? `/ns/${namespace}/sa/${first}` : `/ns/${first}/sa/${second}`;
}
