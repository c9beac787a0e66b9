import type { parse } from '@bufbuild/cel';
import { RE2JS } from 're2js';
import { nearestSpelling } from '../schema/nearest-spelling.ts';
import { ATTRIBUTES, type AttributeName, isAttribute, type Reads } from './attributes.ts';
import { FUNCTIONS, OPERATORS } from './functions.ts';
import {
  BOOL,
  BYTES,
  DOUBLE,
  DYN,
  INT,
  joined,
  listOf,
  mapOf,
  mayBe,
  NULL,
  STRING,
  shownType,
  UINT,
  type ValueType,
} from './value-type.ts';

export type Expr = ReturnType<typeof parse>['expr'];
type Kind = Expr['exprKind'];
type Of<K extends NonNullable<Kind['case']>> = Extract<Kind, { case: K }>['value'];

/** Nested parts of one expression. */
export const MAX_DEPTH = 32;
/** Nodes of its tree, macros written out. */
export const MAX_NODES = 1_000;
/** `exists`, `all`, `map`, `filter` within one another. */
export const MAX_NESTED_COMPREHENSIONS = 2;

/** What is wrong, and at which node. */
export class ConditionError extends Error {
  readonly node: bigint;

  constructor(node: bigint, message: string) {
    super(message);
    this.node = node;
  }
}

type Scope = ReadonlyMap<string, ValueType>;

/**
 * Finds the type of a condition, and what it reads. CEL is checked here because the library checks nothing before it evaluates.
 * Throws ConditionError.
 */
export class ConditionChecker implements Reads {
  readonly attributes = new Set<AttributeName>();
  readonly headers = new Set<string>();
  readonly queryParameters = new Set<string>();
  readonly claims = new Set<string>();
  #nodes = 0;

  check(expr: Expr): void {
    const type = this.#typeOf(expr, new Map(), 0, 0);
    if (!mayBe(type, BOOL))
      throw new ConditionError(expr.id, `a condition is true or false, and this is ${shownType(type)}`);
  }

  #typeOf(expr: Expr, scope: Scope, depth: number, nested: number): ValueType {
    if (depth > MAX_DEPTH) throw new ConditionError(expr.id, `nested more than ${MAX_DEPTH} deep`);
    if (++this.#nodes > MAX_NODES) throw new ConditionError(expr.id, `more than ${MAX_NODES} operations`);
    const inner = (one: Expr | undefined) => this.#typeOf(present(one, expr), scope, depth + 1, nested);
    const { exprKind } = expr;
    switch (exprKind.case) {
      case 'constExpr':
        return constantType(exprKind.value);
      case 'identExpr':
      case 'selectExpr': {
        const attribute = this.#attribute(expr, scope);
        if (attribute !== undefined) return attribute;
        if (exprKind.case === 'identExpr') throw unknownName(expr.id, exprKind.value.name, [...scope.keys()]);
        const member = this.#member(expr, exprKind.value, inner);
        return exprKind.value.testOnly ? BOOL : member; // `has(…)`
      }
      case 'callExpr':
        return this.#call(expr, exprKind.value, scope, inner);
      case 'listExpr': {
        const types = exprKind.value.elements.map(inner);
        return listOf(types.length === 0 ? DYN : types.reduce(joined));
      }
      case 'structExpr':
        return this.#map(expr, exprKind.value, inner);
      case 'comprehensionExpr':
        return this.#comprehension(expr, exprKind.value, scope, depth, nested);
      case undefined:
        throw new ConditionError(expr.id, 'cannot be read');
    }
  }

  /** The type of an attribute as a whole, or of a member that is named; undefined: it is none. */
  #attribute(expr: Expr, scope: Scope): ValueType | undefined {
    const path = pathOf(expr);
    if (path === undefined) return undefined;
    const [first = ''] = path;
    if (scope.has(first)) return path.length === 1 ? scope.get(first) : undefined;
    const name = path.join('.');
    if (isAttribute(name)) {
      const type = ATTRIBUTES[name];
      if (type.kind === 'map') throw new ConditionError(expr.id, `name the member: ${name}.NAME or ${name}['NAME']`);
      this.attributes.add(name);
      return type;
    }
    const map = isAttribute(first) ? first : path.slice(0, 2).join('.');
    if (isAttribute(map) && ATTRIBUTES[map].kind === 'map') return undefined; // a member, or one of a member
    throw unknownName(expr.id, name, [...scope.keys()]);
  }

  #member(expr: Expr, { operand, field }: Of<'selectExpr'>, inner: (one: Expr | undefined) => ValueType): ValueType {
    const map = operand === undefined ? undefined : memberMap(operand);
    if (map !== undefined) return this.#read(expr.id, map, field);
    const type = inner(operand);
    if (type.kind === 'dyn') return DYN;
    if (type.kind === 'map') return type.of;
    throw new ConditionError(expr.id, `${shownType(type)} has no member ${field}`);
  }

  /** Notes which member of a map is looked at; returns its type. */
  #read(node: bigint, map: AttributeName, member: string): ValueType {
    this.attributes.add(map);
    if (map === 'jwt') {
      this.claims.add(member);
      return DYN;
    }
    if (map === 'request.query') this.queryParameters.add(member);
    else if (member === member.toLowerCase()) this.headers.add(member);
    else throw new ConditionError(node, `names of headers are compared in lower case: ${member.toLowerCase()}`);
    return STRING;
  }

  #call(expr: Expr, call: Of<'callExpr'>, scope: Scope, inner: (one: Expr | undefined) => ValueType): ValueType {
    const { function: name, target, args } = call;
    if (name === '_[_]') {
      const [operand, at] = args;
      const map = operand === undefined ? undefined : memberMap(operand);
      if (map !== undefined && !scope.has(map))
        return this.#read(expr.id, map, literal(at, expr, `the member of ${map}`));
    }
    if (name === '@in') {
      const map = args[1] === undefined ? undefined : memberMap(args[1]);
      if (map !== undefined) {
        this.#read(expr.id, map, literal(args[0], expr, `the member of ${map}`));
        return BOOL;
      }
    }
    if (name === '_?_:_') {
      const [test = DYN, left = DYN, right = DYN] = args.map(inner);
      if (!mayBe(test, BOOL))
        throw new ConditionError(expr.id, `before ? stands ${shownType(test)} where true or false is needed`);
      return joined(left, right);
    }
    if (name === '@not_strictly_false') {
      inner(args[0]);
      return BOOL;
    }
    const given = [...(target === undefined ? [] : [target]), ...args].map(inner);
    const operator = OPERATORS[name];
    if (operator !== undefined) {
      const result = operator.resultOf(given);
      if (result !== undefined) return result;
      throw new ConditionError(expr.id, `${operator.shown} does not take ${given.map(shownType).join(' and ')}`);
    }
    const known = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
    if (known === undefined) throw unknownFunction(expr.id, name);
    const form = target === undefined ? 'function' : 'method';
    if (known.form !== 'both' && known.form !== form) {
      const shown = known.form === 'method' ? `x.${name}(…)` : `${name}(x)`;
      throw new ConditionError(expr.id, `${name} is written ${shown}`);
    }
    if (name === 'matches') checkPattern(literal(args.at(-1), expr, 'the pattern of matches'), expr.id);
    const result = known.resultOf(given);
    if (result !== undefined) return result;
    throw new ConditionError(expr.id, `${name} does not take ${given.map(shownType).join(' and ') || 'nothing'}`);
  }

  #map(expr: Expr, { entries, messageName }: Of<'structExpr'>, inner: (one: Expr | undefined) => ValueType): ValueType {
    if (messageName !== '') throw new ConditionError(expr.id, `messages such as ${messageName} are not known here`);
    const types = entries.map(({ keyKind, value }) => {
      const key = keyKind.case === 'mapKey' ? inner(keyKind.value) : STRING;
      if (!mayBe(key, STRING))
        throw new ConditionError(expr.id, `keys of a map are strings here, not ${shownType(key)}`);
      return inner(value);
    });
    return mapOf(types.length === 0 ? DYN : types.reduce(joined));
  }

  #comprehension(
    expr: Expr,
    { iterVar, iterVar2, iterRange, accuVar, accuInit, loopCondition, loopStep, result }: Of<'comprehensionExpr'>,
    scope: Scope,
    depth: number,
    nested: number,
  ): ValueType {
    if (nested >= MAX_NESTED_COMPREHENSIONS) {
      const message = `exists, all, map and filter are nested more than ${MAX_NESTED_COMPREHENSIONS} deep`;
      throw new ConditionError(expr.id, message);
    }
    const here = (one: Expr | undefined, within: Scope) =>
      this.#typeOf(present(one, expr), within, depth + 1, nested + 1);
    const range = this.#typeOf(present(iterRange, expr), scope, depth + 1, nested);
    if (range.kind !== 'list' && range.kind !== 'map' && range.kind !== 'dyn') {
      throw new ConditionError(expr.id, `there is nothing to go through in ${shownType(range)}`);
    }
    const element = range.kind === 'list' ? range.of : range.kind === 'map' ? STRING : DYN;
    const inLoop = new Map([...scope, [iterVar, element], [accuVar, here(accuInit, scope)]]);
    if (iterVar2 !== '') inLoop.set(iterVar2, range.kind === 'dyn' ? DYN : range.of);
    here(loopCondition, inLoop);
    here(loopStep, inLoop);
    return here(result, inLoop);
  }
}

/** The map of members that this expression is: `request.headers`, `jwt`. */
function memberMap(expr: Expr): AttributeName | undefined {
  const name = pathOf(expr)?.join('.') ?? '';
  return isAttribute(name) && ATTRIBUTES[name].kind === 'map' ? name : undefined;
}

/** `a.b.c` by its names; undefined: it is something else. */
function pathOf({ exprKind }: Expr): readonly string[] | undefined {
  if (exprKind.case === 'identExpr') return [exprKind.value.name];
  if (exprKind.case !== 'selectExpr' || exprKind.value.operand === undefined) return undefined;
  const above = pathOf(exprKind.value.operand);
  return above === undefined ? undefined : [...above, exprKind.value.field];
}

function constantType({ constantKind }: Of<'constExpr'>): ValueType {
  switch (constantKind.case) {
    case 'boolValue':
      return BOOL;
    case 'int64Value':
      return INT;
    case 'uint64Value':
      return UINT;
    case 'doubleValue':
      return DOUBLE;
    case 'stringValue':
      return STRING;
    case 'bytesValue':
      return BYTES;
    case 'nullValue':
      return NULL;
    default:
      return DYN;
  }
}

/** What must be known before there is a request. */
function literal(expr: Expr | undefined, parent: Expr, what: string): string {
  const { exprKind } = present(expr, parent);
  if (exprKind.case === 'constExpr' && exprKind.value.constantKind.case === 'stringValue') {
    return exprKind.value.constantKind.value;
  }
  throw new ConditionError(parent.id, `${what} is to be written as it is, in quotes`);
}

function checkPattern(pattern: string, node: bigint): void {
  try {
    RE2JS.compile(pattern);
  } catch (error) {
    throw new ConditionError(node, `no regular expression of RE2: ${error instanceof Error ? error.message : error}`);
  }
}

function present(expr: Expr | undefined, parent: Expr): Expr {
  if (expr === undefined) throw new ConditionError(parent.id, 'something is missing');
  return expr;
}

function unknownName(node: bigint, name: string, own: readonly string[]): ConditionError {
  const near = nearestSpelling(name, [...Object.keys(ATTRIBUTES), ...own]);
  const hint = near === undefined ? `known: ${Object.keys(ATTRIBUTES).join(', ')}` : `did you mean ${near}?`;
  return new ConditionError(node, `unknown attribute ${name}; ${hint}`);
}

function unknownFunction(node: bigint, name: string): ConditionError {
  const near = nearestSpelling(name, Object.keys(FUNCTIONS));
  const hint = near === undefined ? `known: ${Object.keys(FUNCTIONS).join(', ')}` : `did you mean ${near}?`;
  return new ConditionError(node, `unknown function ${name}; ${hint}`);
}
