import type { ApiParameter } from '../api-model.ts';
import {
  arrayValue,
  BROKEN,
  type Decode,
  type Delimiters,
  decodeAll,
  deepProperty,
  delimitedCandidates,
  isSpread,
  objectValue,
} from './parameter-value.ts';
import { type JsonLimits, scanJson } from './scan-json.ts';

/** What a field of a form is to the properties that are written by a style. */
export interface FieldOwner {
  readonly styled: ApiParameter;
  /** Of an object that is spread over several fields: which of its properties. */
  readonly property: string | undefined;
}

/** How texts are written. */
export interface TextRules {
  readonly decode: Decode;
  /** Default: those of a query. */
  readonly delimiters?: Delimiters | undefined;
  readonly json: JsonLimits;
}

export type StyledValues =
  | { readonly values: readonly (readonly [string, unknown])[] }
  | { readonly name: string; readonly problem: string };

/** Finds the owners of fields, at a cost that does not grow with the number of properties. */
export class FieldOwners {
  readonly #exact = new Map<string, FieldOwner>();
  readonly #deep = new Map<string, ApiParameter>();

  constructor(styled: readonly ApiParameter[]) {
    for (const one of styled) {
      if (one.style === 'deepObject') this.#deep.set(one.name, one);
      this.#exact.set(one.name, { styled: one, property: undefined });
    }
    for (const one of styled) {
      if (one.style === 'deepObject' || !isSpread(one) || one.shape.kind !== 'object') continue;
      for (const property of Object.keys(one.shape.properties)) this.#exact.set(property, { styled: one, property });
    }
  }

  /** Undefined: the field is of no styled property. */
  of(field: string): FieldOwner | undefined {
    const bracket = field.indexOf('[');
    const deep = bracket < 0 ? undefined : this.#deep.get(field.slice(0, bracket));
    if (deep === undefined) return this.#exact.get(field);
    return { styled: deep, property: deepProperty(field, deep.name) };
  }

  /** The styled property that some programs take a field for a part of, by brackets that mean nothing here. */
  shadowedBy(field: string): string | undefined {
    const bracket = field.indexOf('[');
    const base = field.slice(0, bracket);
    return bracket > 0 && this.of(field) === undefined && this.#exact.has(base) ? base : undefined;
  }
}

/**
 * The values of the styled properties that `fields` (undecoded texts by decoded name) hold; their fields are taken out. A field that has the name
 * of an object which is spread over others, or goes deeper than one level, is a problem: two programs would read two values.
 */
export function takeStyled(
  owners: FieldOwners,
  fields: Map<string, readonly string[]>,
  rules: TextRules,
): StyledValues {
  const spread = new Map<ApiParameter, Map<string, readonly string[]>>();
  const values: (readonly [string, unknown])[] = [];
  for (const [field, texts] of fields) {
    const owner = owners.of(field);
    if (owner === undefined) continue;
    fields.delete(field);
    const { styled, property } = owner;
    if (isSpread(styled)) {
      if (property === undefined) return { name: styled.name, problem: `is not of style ${styled.style}` };
      const known = spread.get(styled) ?? new Map<string, readonly string[]>();
      spread.set(styled, known.set(property, texts));
      continue;
    }
    const read = wholeValue(styled, texts, rules);
    if ('problem' in read) return { name: styled.name, problem: read.problem };
    values.push([styled.name, read.value]);
  }
  for (const [styled, texts] of spread) {
    const read = spreadValue(styled, texts, rules);
    if ('problem' in read) return { name: styled.name, problem: read.problem };
    values.push([styled.name, read.value]);
  }
  return { values };
}

type Read = { readonly value: unknown } | { readonly problem: string };

function wholeValue(styled: ApiParameter, texts: readonly string[], { decode, delimiters, json }: TextRules): Read {
  const { shape, explode, style } = styled;
  if (shape.kind === 'array' && explode) {
    const items = decodeAll(texts, decode);
    return items === undefined ? BROKEN : { value: arrayValue(items, shape) };
  }
  const [raw = '', ...more] = texts;
  if (more.length > 0) return { problem: 'is given more than once' };
  if (style === 'json') return jsonValue(decode(raw), json);
  const candidates = delimitedCandidates(raw, styled, decode, delimiters);
  return 'problem' in candidates ? candidates : { value: candidates[0] };
}

function jsonValue(text: string | undefined, limits: JsonLimits): Read {
  if (text === undefined) return BROKEN;
  const fault = scanJson(text, limits);
  return fault === undefined
    ? { value: JSON.parse(text) }
    : { problem: `is not JSON: ${fault.reason} at ${fault.offset + 1}` };
}

function spreadValue({ shape }: ApiParameter, fields: ReadonlyMap<string, readonly string[]>, rules: TextRules): Read {
  const decoded = new Map<string, readonly string[]>();
  for (const [property, texts] of fields) {
    const items = decodeAll(texts, rules.decode);
    if (items === undefined) return BROKEN;
    decoded.set(property, items);
  }
  const value = shape.kind === 'object' ? objectValue(decoded, shape) : '';
  return typeof value === 'string' ? { problem: `has the property ${value} twice` } : { value };
}
