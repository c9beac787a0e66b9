import { isUtf8 } from 'node:buffer';
import type { MultipartShape, PartShape } from '../api-model.ts';
import { isJsonType, parseMediaType, rangeFit } from './media-type.ts';
import { add, primitiveCandidates } from './parameter-value.ts';
import { shadowedBy } from './parse-form.ts';
import { type Part, parseMultipart } from './parse-multipart.ts';
import { type JsonLimits, scanJson } from './scan-json.ts';
import { FieldOwners, type TextRules, takeStyled } from './styled-values.ts';

/** What is wrong with a part. */
export interface PartFault {
  /** Undefined: it is the body as a whole. */
  readonly name: string | undefined;
  readonly message: string;
}

/** A part of a property. */
export interface PlacedPart {
  readonly property: string;
  /** Of how many of the property it follows. */
  readonly index: number;
  readonly isList: boolean;
  readonly headers: ReadonlyMap<string, string>;
}

export type ReadParts =
  | { readonly value: unknown; readonly parts: readonly PlacedPart[] }
  | { readonly fault: PartFault };

/** What is wrong with `a[b]` where `a` is declared. */
export const BRACKETED = 'is given with brackets behind its name, which are not declared';

/** What stands for a file: its bytes are not held against anything. */
const OPAQUE = '';

/** OpenAPI 3.1 §4.8.15.1: nothing is percent-encoded in the parts of a form, delimiters are themselves. */
const IN_PARTS: Omit<TextRules, 'json'> = {
  decode: (text) => text,
  delimiters: { form: /,/, spaceDelimited: / /, pipeDelimited: /\|/ },
};

/** The object that the parts of a body amount to. `owners`: of the parts that are written by a style. */
export function readParts(
  body: Buffer,
  boundary: string,
  shape: MultipartShape,
  json: JsonLimits,
  owners: FieldOwners = NO_OWNERS,
): ReadParts {
  const parts = parseMultipart(body, boundary);
  if (typeof parts === 'string') return { fault: { name: undefined, message: parts } };
  const values = new Map<string, unknown>();
  const styled = new Map<string, string[]>();
  const counts = new Map<string, number>();
  const placed: PlacedPart[] = [];
  for (const part of parts) {
    const { name, headers } = part;
    const owner = owners.of(name)?.styled;
    const shadowed = owner === undefined ? (owners.shadowedBy(name) ?? shadowedBy(name, shape.parts)) : undefined;
    if (shadowed !== undefined) return { fault: { name: shadowed, message: BRACKETED } };
    // What is not declared is text: the schema's additionalProperties decides about it.
    const declared = Object.hasOwn(shape.parts, name) ? shape.parts[name] : undefined;
    const read = readPart(part, owner === undefined ? (declared ?? UNDECLARED) : STYLED, json);
    if ('fault' in read) return { fault: { name, message: read.fault } };
    const property = owner?.name ?? name;
    const index = counts.get(property) ?? 0;
    counts.set(property, index + 1);
    placed.push({ property, index, isList: owner === undefined && declared?.isList === true, headers });
    if (owner !== undefined) add(styled, name, String(read.value));
    else if (declared?.isList === true) {
      const known = values.get(name);
      if (Array.isArray(known)) known.push(read.value);
      else values.set(name, [read.value]);
    } else if (!values.has(name)) values.set(name, read.value);
    else return { fault: { name, message: 'is given more than once' } };
  }
  const taken = takeStyled(owners, styled, { ...IN_PARTS, json });
  if ('problem' in taken) return { fault: { name: taken.name, message: taken.problem } };
  return { value: Object.fromEntries([...values, ...taken.values]), parts: placed };
}

const NO_OWNERS = new FieldOwners([]);
const STYLED: PartShape = { kind: 'text', isList: false, contentTypes: undefined, types: ['string'] };
const UNDECLARED: PartShape = { kind: 'opaque', isList: false, contentTypes: undefined, types: [] };

function readPart(
  { contentType, bytes }: Part,
  { kind, contentTypes, types }: PartShape,
  json: JsonLimits,
): { readonly value: unknown } | { readonly fault: string } {
  const type = contentType === undefined ? undefined : parseMediaType(contentType);
  if (contentType !== undefined && type === undefined) return { fault: 'has a content-type that cannot be read' };
  if (type?.essence.startsWith('multipart/') === true) return { fault: 'is multipart itself' };
  const complaint = type === undefined ? undefined : typeComplaint(type.essence, kind, contentTypes);
  if (complaint !== undefined) return { fault: complaint };
  if (kind === 'opaque') return { value: OPAQUE };
  const isText = type?.charset === undefined || type.charset === 'utf-8' || type.charset === 'utf8';
  if (!isText || !isUtf8(bytes)) return { fault: 'is not UTF-8' };
  const text = bytes.toString('utf8');
  if (kind === 'text') return { value: primitiveCandidates(text, { kind: 'primitive', types })[0] };
  const fault = scanJson(text, json);
  return fault === undefined
    ? { value: JSON.parse(text) }
    : { fault: `is not JSON: ${fault.reason} at ${fault.offset + 1}` };
}

function typeComplaint(
  essence: string,
  kind: PartShape['kind'],
  contentTypes: readonly string[] | undefined,
): string | undefined {
  if (contentTypes !== undefined) {
    const fits = contentTypes.some((range) => rangeFit(range, essence) > 0);
    return fits ? undefined : `is of type ${essence}; declared: ${contentTypes.join(', ')}`;
  }
  if (kind === 'json' && !isJsonType(essence)) return `is of type ${essence}; expected JSON`;
  return kind === 'text' && essence !== 'text/plain' ? `is of type ${essence}; expected text/plain` : undefined;
}
