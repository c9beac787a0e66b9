import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  isNumber,
  listOf,
  mayBe,
  mayEqual,
  STRING,
  TIMESTAMP,
  UINT,
  type ValueType,
} from './value-type.ts';

/** Arguments it takes, the value it is called on first (`x.f(y)`); undefined: it does not take these. */
type ResultOf = (given: readonly ValueType[]) => ValueType | undefined;

/** Takes values of just these types. */
function takes(parameters: readonly ValueType[], result: ValueType): ResultOf {
  return (given) => {
    if (given.length !== parameters.length) return undefined;
    return parameters.every((parameter, index) => mayBe(parameter, given[index] ?? DYN)) ? result : undefined;
  };
}

function oneOf(...candidates: readonly ResultOf[]): ResultOf {
  return (given) => {
    for (const candidate of candidates) {
      const result = candidate(given);
      if (result !== undefined) return result;
    }
    return undefined;
  };
}

const COMPARED = [INT, UINT, DOUBLE, STRING, BYTES, BOOL, TIMESTAMP, DURATION];

const order: ResultOf = ([left = DYN, right = DYN, ...rest]) => {
  if (rest.length > 0) return undefined;
  const isOrdered = (type: ValueType) => COMPARED.some((one) => mayBe(one, type));
  return isOrdered(left) && isOrdered(right) && mayEqual(left, right) ? BOOL : undefined;
};

const equality: ResultOf = ([left = DYN, right = DYN]) => (mayEqual(left, right) ? BOOL : undefined);

const arithmetic: ResultOf = ([left = DYN, right = DYN]) => {
  if (left.kind === 'dyn') return right.kind === 'dyn' || isNumber(right) ? right : undefined;
  if (!isNumber(left) || !mayBe(left, right)) return undefined;
  return left;
};

const addition: ResultOf = oneOf(
  arithmetic,
  takes([STRING, STRING], STRING),
  takes([BYTES, BYTES], BYTES),
  takes([TIMESTAMP, DURATION], TIMESTAMP),
  takes([DURATION, TIMESTAMP], TIMESTAMP),
  takes([DURATION, DURATION], DURATION),
  ([left = DYN, right = DYN]) => (left.kind === 'list' && mayBe(left, right) ? left : undefined),
);

const containment: ResultOf = ([one = DYN, all = DYN]) => {
  if (all.kind === 'list') return mayEqual(one, all.of) ? BOOL : undefined;
  if (all.kind === 'map') return mayBe(one, STRING) ? BOOL : undefined;
  return all.kind === 'dyn' ? BOOL : undefined;
};

const indexing: ResultOf = ([all = DYN, at = DYN]) => {
  if (all.kind === 'list') return mayBe(at, INT) ? all.of : undefined;
  if (all.kind === 'map') return mayBe(at, STRING) ? all.of : undefined;
  return all.kind === 'dyn' ? DYN : undefined;
};

const size: ResultOf = ([all = DYN, ...rest]) =>
  rest.length === 0 && ['string', 'bytes', 'list', 'map', 'dyn'].includes(all.kind) ? INT : undefined;

const negation: ResultOf = ([value = DYN]) => (value.kind === 'dyn' || isNumber(value) ? value : undefined);

const number = (result: ValueType): ResultOf =>
  oneOf(...[INT, UINT, DOUBLE, STRING].map((from) => takes([from], result)));
const anyText = oneOf(
  ...[INT, UINT, DOUBLE, STRING, BYTES, BOOL, TIMESTAMP, DURATION].map((one) => takes([one], STRING)),
);

/** Operators, by the names that the parser gives them, and how they are written. */
export const OPERATORS: { readonly [name: string]: { readonly shown: string; readonly resultOf: ResultOf } } = {
  '_&&_': { shown: '&&', resultOf: takes([BOOL, BOOL], BOOL) },
  '_||_': { shown: '||', resultOf: takes([BOOL, BOOL], BOOL) },
  '!_': { shown: '!', resultOf: takes([BOOL], BOOL) },
  '-_': { shown: '-', resultOf: negation },
  '_==_': { shown: '==', resultOf: equality },
  '_!=_': { shown: '!=', resultOf: equality },
  '_<_': { shown: '<', resultOf: order },
  '_<=_': { shown: '<=', resultOf: order },
  '_>_': { shown: '>', resultOf: order },
  '_>=_': { shown: '>=', resultOf: order },
  '_+_': { shown: '+', resultOf: addition },
  '_-_': {
    shown: '-',
    resultOf: oneOf(
      arithmetic,
      takes([TIMESTAMP, TIMESTAMP], DURATION),
      takes([TIMESTAMP, DURATION], TIMESTAMP),
      takes([DURATION, DURATION], DURATION),
    ),
  },
  '_*_': { shown: '*', resultOf: arithmetic },
  '_/_': { shown: '/', resultOf: arithmetic },
  '_%_': { shown: '%', resultOf: oneOf(takes([INT, INT], INT), takes([UINT, UINT], UINT)) },
  '@in': { shown: 'in', resultOf: containment },
  '_[_]': { shown: '[]', resultOf: indexing },
};

interface KnownFunction {
  /** `f(x)`, `x.f()`, or both. */
  readonly form: 'function' | 'method' | 'both';
  /** Of a method: what it is called on comes first. */
  readonly resultOf: ResultOf;
}

const method = (resultOf: ResultOf): KnownFunction => ({ form: 'method', resultOf });
const fn = (resultOf: ResultOf): KnownFunction => ({ form: 'function', resultOf });

/** Everything of CEL that a request can be asked. */
export const FUNCTIONS: { readonly [name: string]: KnownFunction } = {
  size: { form: 'both', resultOf: size },
  startsWith: method(takes([STRING, STRING], BOOL)),
  endsWith: method(takes([STRING, STRING], BOOL)),
  contains: method(takes([STRING, STRING], BOOL)),
  matches: { form: 'both', resultOf: takes([STRING, STRING], BOOL) },
  split: method(takes([STRING, STRING], listOf(STRING))),
  lowerAscii: method(takes([STRING], STRING)),
  int: fn(number(INT)),
  uint: fn(number(UINT)),
  double: fn(number(DOUBLE)),
  string: fn(anyText),
  bool: fn(takes([STRING], BOOL)),
  duration: fn(takes([STRING], DURATION)),
  timestamp: fn(oneOf(takes([STRING], TIMESTAMP), takes([INT], TIMESTAMP))),
};
