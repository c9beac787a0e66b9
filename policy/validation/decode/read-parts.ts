import { isUtf8 } from 'node:buffer';
import type { MultipartShape, PartShape } from '../api-model.ts';
import { isJsonType, parseMediaType, rangeFit } from './media-type.ts';
import { primitiveCandidates } from './parameter-value.ts';
import { type Part, parseMultipart } from './parse-multipart.ts';
import { type JsonLimits, scanJson } from './scan-json.ts';

/** What is wrong with a part. */
export interface PartFault {
  /** Undefined: it is the body as a whole. */
  readonly name: string | undefined;
  readonly message: string;
}

export type ReadParts = { readonly value: unknown } | { readonly fault: PartFault };

/** What stands for a file: its bytes are not held against anything. */
const OPAQUE = '';

/** The object that the parts of a body amount to. */
export function readParts(body: Buffer, boundary: string, shape: MultipartShape, json: JsonLimits): ReadParts {
  const parts = parseMultipart(body, boundary);
  if (typeof parts === 'string') return { fault: { name: undefined, message: parts } };
  const values = new Map<string, unknown>();
  for (const part of parts) {
    const { name } = part;
    // What is not declared is text: the schema's additionalProperties decides about it.
    const declared = Object.hasOwn(shape.parts, name) ? shape.parts[name] : undefined;
    const read = readPart(part, declared ?? UNDECLARED, json);
    if ('fault' in read) return { fault: { name, message: read.fault } };
    const known = values.get(name);
    if (declared?.isList === true) values.set(name, [...(Array.isArray(known) ? known : []), read.value]);
    else if (known === undefined) values.set(name, read.value);
    else return { fault: { name, message: 'is given more than once' } };
  }
  return { value: Object.fromEntries(values) };
}

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
