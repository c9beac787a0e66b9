/** What an expression comes to, as far as it is known before there is a request. */
export type ValueType =
  | { readonly kind: 'bool' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'null' | 'type' }
  | { readonly kind: 'timestamp' | 'duration' }
  /** Known at evaluation alone: claims. */
  | { readonly kind: 'dyn' }
  | { readonly kind: 'list'; readonly of: ValueType }
  | { readonly kind: 'map'; readonly of: ValueType };

export type SimpleKind = Exclude<ValueType['kind'], 'list' | 'map'>;

const simple = (kind: SimpleKind): ValueType => ({ kind });

export const BOOL = simple('bool');
export const INT = simple('int');
export const UINT = simple('uint');
export const DOUBLE = simple('double');
export const STRING = simple('string');
export const BYTES = simple('bytes');
export const NULL = simple('null');
export const TYPE = simple('type');
export const TIMESTAMP = simple('timestamp');
export const DURATION = simple('duration');
export const DYN = simple('dyn');
export const listOf = (of: ValueType): ValueType => ({ kind: 'list', of });
export const mapOf = (of: ValueType): ValueType => ({ kind: 'map', of });

const NUMBERS: ReadonlySet<ValueType['kind']> = new Set(['int', 'uint', 'double']);

export function isNumber({ kind }: ValueType): boolean {
  return NUMBERS.has(kind);
}

/** Whether a value of the one can be a value of the other. */
export function mayBe(left: ValueType, right: ValueType): boolean {
  if (left.kind === 'dyn' || right.kind === 'dyn') return true;
  if (left.kind === 'list' && right.kind === 'list') return mayBe(left.of, right.of);
  if (left.kind === 'map' && right.kind === 'map') return mayBe(left.of, right.of);
  return left.kind === right.kind;
}

/** Whether the two can ever be equal: numbers of all kinds compare, and null with anything that is not known. */
export function mayEqual(left: ValueType, right: ValueType): boolean {
  return mayBe(left, right) || (isNumber(left) && isNumber(right));
}

/** The type of a value that is of the one or of the other. */
export function joined(left: ValueType, right: ValueType): ValueType {
  return left.kind === right.kind && left.kind !== 'list' && left.kind !== 'map' ? left : DYN;
}

/** As an author writes it. */
export function shownType(type: ValueType): string {
  if (type.kind === 'list') return `list(${shownType(type.of)})`;
  if (type.kind === 'map') return `map(string, ${shownType(type.of)})`;
  return type.kind;
}
