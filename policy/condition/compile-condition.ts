import {
  type CelInput,
  CelScalar,
  celEnv,
  celFunc,
  celMethod,
  isCelError,
  isCelList,
  isCelMap,
  listType,
  parse,
  plan,
} from '@bufbuild/cel';
import { RE2JS } from 're2js';
import { headerValue } from '../http/flat-headers.ts';
import type { AuthorizationRequest } from '../workload-policy.ts';
import { ATTRIBUTES, type AttributeName, type Reads } from './attributes.ts';
import { BOUNDED, boundLoops } from './bound-loops.ts';
import { ConditionChecker, ConditionError, type Expr, MAX_DEPTH } from './check-condition.ts';
import { claimValue, queryMap, UnjudgeableError } from './condition-values.ts';
import { toldError } from './told-error.ts';

/** Longest text of a condition; characters. */
export const MAX_CONDITION_LENGTH = 2_048;
/** Elements that `exists`, `all`, `map` and `filter` go through, each. */
export const MAX_ELEMENTS = 100;
/** Parts that `split` makes. */
const MAX_PARTS = 100;

/** A condition ready to be judged. */
export interface Condition {
  readonly reads: Reads;
  judge(request: AuthorizationRequest): ConditionVerdict;
}

/** `error`: it could not be said; the reason names no value of the request. */
export type ConditionVerdict = boolean | { readonly error: string };

export type CompiledCondition =
  | { readonly kind: 'condition'; readonly condition: Condition }
  /** `offset`: where in the text; characters from its begin. */
  | { readonly kind: 'invalid'; readonly message: string; readonly offset: number };

/** Reads, checks and plans a condition in CEL. */
export function compileCondition(text: string): CompiledCondition {
  if (text.length > MAX_CONDITION_LENGTH) {
    const message = `a condition of ${text.length} characters exceeds the limit of ${MAX_CONDITION_LENGTH}`;
    return { kind: 'invalid', message, offset: MAX_CONDITION_LENGTH };
  }
  const deep = tooDeepAt(text);
  if (deep !== undefined) return { kind: 'invalid', message: `nested more than ${MAX_DEPTH} deep`, offset: deep };
  let positions: { readonly [node: string]: number } = {};
  try {
    const { expr, sourceInfo } = parse(text);
    positions = sourceInfo?.positions ?? {};
    const reads = new ConditionChecker();
    reads.check(expr);
    return { kind: 'condition', condition: new PlannedCondition(text, boundLoops(expr), reads) };
  } catch (error) {
    if (error instanceof ConditionError) {
      return { kind: 'invalid', message: error.message, offset: positions[String(error.node)] ?? 0 };
    }
    return { kind: 'invalid', ...syntaxComplaint(error) };
  }
}

class PlannedCondition implements Condition {
  readonly reads: Reads;
  readonly #evaluate: (values: { readonly [name: string]: CelInput }) => unknown;

  readonly #text: string;

  constructor(text: string, expr: Expr, reads: Reads) {
    this.#text = text;
    this.reads = reads;
    this.#evaluate = plan(ENVIRONMENT, expr);
  }

  judge(request: AuthorizationRequest): ConditionVerdict {
    try {
      const values: { [name: string]: CelInput } = {};
      for (const name of this.reads.attributes) values[name] = attributeValue(name, request, this.reads);
      const result = this.#evaluate(values);
      if (typeof result === 'boolean') return result;
      if (isCelError(result)) return { error: toldError(result.message, this.#text) };
      return { error: 'it came to neither true nor false' };
    } catch (error) {
      return { error: error instanceof UnjudgeableError ? error.message : 'it failed' };
    }
  }
}

/** Before the parser, which calls itself for each. Brackets in strings count too: who needs so many writes a list elsewhere. */
function tooDeepAt(text: string): number | undefined {
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if ('([{'.includes(character) && ++depth > MAX_DEPTH) return index;
    if (')]}'.includes(character)) depth--;
  }
  return undefined;
}

function syntaxComplaint(error: unknown): { readonly message: string; readonly offset: number } {
  if (!(error instanceof Error)) return { message: String(error), offset: 0 };
  const place = 'location' in error ? error.location : undefined;
  const start = typeof place === 'object' && place !== null && 'start' in place ? place.start : undefined;
  const offset = typeof start === 'object' && start !== null && 'offset' in start ? start.offset : undefined;
  const message = 'rawMessage' in error && typeof error.rawMessage === 'string' ? error.rawMessage : error.message;
  return { message, offset: typeof offset === 'number' ? offset : 0 };
}

function attributeValue(name: AttributeName, request: AuthorizationRequest, reads: Reads): CelInput {
  const { source, headers } = request;
  switch (name) {
    case 'source.principal':
      return source?.principal ?? '';
    case 'source.namespace':
      return source?.namespace ?? '';
    case 'source.serviceAccount':
      return source?.serviceAccount ?? '';
    case 'source.ip':
      return request.sourceIp ?? '';
    case 'destination.ip':
      return request.destinationIp ?? '';
    case 'destination.port':
      return BigInt(request.port);
    case 'request.method':
      return request.method ?? '';
    case 'request.path':
      return request.path ?? '';
    case 'request.host':
      return request.host ?? '';
    case 'request.headers':
      return new Map(
        [...reads.headers].flatMap((lowerName): [string, string][] => {
          const value = headerValue(headers, lowerName, ',');
          return value === undefined ? [] : [[lowerName, value]];
        }),
      );
    case 'request.query':
      return queryMap(request.query ?? '', reads.queryParameters);
    case 'jwt': {
      const claims = request.claims?.all ?? {};
      return new Map(
        [...reads.claims].flatMap((claim): [string, CelInput][] =>
          Object.hasOwn(claims, claim) ? [[claim, claimValue(claims[claim])]] : [],
        ),
      );
    }
  }
}

const { STRING, INT, DYN } = CelScalar;

/** Fails where there is too much to go through. */
const goThrough = celFunc(BOUNDED, [DYN], DYN, (all) => {
  const size = isCelList(all) || isCelMap(all) ? all.size : 0;
  if (size > MAX_ELEMENTS) throw new Error(`more than ${MAX_ELEMENTS} elements to go through`);
  return all;
});

const split = celMethod('split', STRING, [STRING], listType(STRING), function (separator) {
  const parts = this.split(separator, MAX_PARTS + 1);
  if (parts.length > MAX_PARTS) throw new Error(`split makes more than ${MAX_PARTS} parts`);
  return parts;
});

const lowerAscii = celMethod('lowerAscii', STRING, [], STRING, function () {
  return this.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
});

const ENVIRONMENT = celEnv({
  variables: Object.fromEntries(
    Object.entries(ATTRIBUTES).map(([name, { kind }]) => [
      name,
      kind === 'string' ? STRING : kind === 'int' ? INT : DYN,
    ]),
  ),
  funcs: [goThrough, split, lowerAscii],
  re2: { compile: (pattern) => ({ test: (text) => RE2JS.compile(pattern).matcher(text).find() }) },
});

/** Compiles the conditions of rules that were checked when they were loaded. Throws a sentence for one that was not. */
export function compileConditions(texts: Iterable<string>): ReadonlyMap<string, Condition> {
  const compiled = new Map<string, Condition>();
  for (const text of texts) {
    const result = compileCondition(text);
    if (result.kind === 'invalid') throw new Error(`condition, character ${result.offset + 1}: ${result.message}`);
    compiled.set(text, result.condition);
  }
  return compiled;
}
