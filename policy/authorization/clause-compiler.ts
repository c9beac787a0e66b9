import { pathSpellings } from '../path/path-spellings.ts';
import { allNamesOf } from './all-names-of.ts';
import { type Attribute, type AttributeReader, AttributeTable } from './attribute.ts';
import { ATTRIBUTES, type AttributeName } from './attributes.ts';
import { requestPrincipalPattern } from './claims.ts';
import { type Clause, NegativeClause, PositiveClause } from './clause.ts';
import { ipBlockPrefixes } from './ip-digits.ts';
import { NamespaceGlobs, type Pattern, PatternSet, readPathPattern, readPattern, type TextSet } from './text-set.ts';

/** Where a rule stands, and what its values are read by. */
export interface RuleScope {
  /** Of its policy. */
  readonly namespace: string;
  /** All names of the own trust domain, the present one and its aliases. */
  readonly ownDomains: readonly string[];
}

/** How the values of a field are read. */
export type ValueForm =
  | 'texts'
  | 'caseless'
  | 'paths'
  | 'ports'
  | 'headers'
  | 'principals'
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

/** Compiles fields of the rules of one workload; what several of them give is there once. */
export class ClauseCompiler {
  readonly #attributes = new AttributeTable();
  readonly #sets = new Map<string, TextSet>();
  readonly #clauses = new Map<string, Clause>();
  readonly #ids = new Map<TextSet, number>();

  /** The clauses of a field that is compared as it is given; both must be satisfied. */
  field(name: AttributeName, form: ValueForm, given: FieldValues, scope: RuleScope): readonly Clause[] {
    const attribute = () => this.#attributes.of(name, ATTRIBUTES[name]);
    return this.#both(attribute, (values) => this.#set(form, values, scope), given);
  }

  /** As `field`, for an attribute that is named by the rule. */
  named(name: string, reader: () => AttributeReader, form: ValueForm, given: FieldValues): readonly Clause[] {
    const set = (values: readonly string[]) => this.#set(form, values, { namespace: '', ownDomains: [] });
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
      found.push(this.#shared(`+${this.#key(comparison)}`, () => new PositiveClause(comparison)));
    }
    if (isGiven(notValues)) {
      const comparison = { field: notField, attribute: attribute(notValues), values: notValues, set: set(notValues) };
      found.push(this.#shared(`-${this.#key(comparison)}`, () => new NegativeClause(comparison)));
    }
    return found;
  }

  #key({ field, attribute, set }: { field: string; attribute: Attribute; set: TextSet }): string {
    const id = this.#ids.get(set) ?? this.#ids.size;
    this.#ids.set(set, id);
    return `${attribute.slot} ${id} ${field}`;
  }

  #shared(key: string, make: () => Clause): Clause {
    const known = this.#clauses.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#clauses.set(key, made);
    return made;
  }

  #set(form: ValueForm, values: readonly string[], scope: RuleScope): TextSet {
    const where = form === 'serviceAccounts' ? scope.namespace : '';
    return this.#sharedSet(`${form}\n${where}\n${values.join('\n')}`, () => {
      return new PatternSet(patternsOf(form, values, scope));
    });
  }

  #namespaceSet(values: readonly string[]): TextSet {
    return this.#sharedSet(`namespaces\n${values.join('\n')}`, () =>
      values.some(isGlob) ? new NamespaceGlobs(values) : new PatternSet(values.map(exact)),
    );
  }

  #sharedSet(key: string, make: () => TextSet): TextSet {
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#sets.set(key, made);
    return made;
  }
}

/** An empty list is read as absent, as in Istio. */
function isGiven(values: readonly string[] | undefined): values is readonly string[] {
  return values !== undefined && values.length > 0;
}

/** `ns` and `sa` are found at other places of an ID than that of its namespace. */
function isGlob(namespace: string): boolean {
  return namespace.includes('*') || namespace === 'ns' || namespace === 'sa';
}

function exact(text: string): Pattern {
  return { kind: 'exact', text };
}

function patternsOf(form: ValueForm, values: readonly string[], scope: RuleScope): readonly Pattern[] {
  switch (form) {
    case 'texts':
      return values.map(readPattern);
    case 'caseless':
      return values.map((value) => readPattern(value.toLowerCase()));
    case 'paths':
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
      return values.flatMap((value) => allNamesOf(value, scope.ownDomains)).map(readPattern);
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
