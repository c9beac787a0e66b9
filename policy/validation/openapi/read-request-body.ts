import { isRecord, type Path } from '../../schema/schema.ts';
import type { ApiContent, MultipartShape, ObjectShape, PrimitiveShape } from '../api-model.ts';
import { isJsonType } from '../decode/media-type.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';
import { isFreeSchema } from './free-schema.ts';
import { multipartShape } from './read-multipart.ts';
import { textShape } from './text-shape.ts';

/** An entry of `content`, and the place of its schema where the body is held against one. */
export interface ReadContent {
  readonly mediaRange: string;
  readonly format: ApiContent['format'];
  readonly form: ObjectShape | undefined;
  readonly multipart?: MultipartShape | undefined;
  readonly text?: PrimitiveShape | undefined;
  readonly schema: Located | undefined;
  /** Why bodies of this type cannot be checked. */
  readonly fault: SchemaFault | undefined;
}

export interface ReadBody {
  readonly isRequired: boolean;
  readonly contents: readonly ReadContent[];
}

/** Texts that their schemas speak of as something else. */
const NOT_PLAIN: ReadonlySet<string> = new Set(['text/xml', 'text/event-stream']);
const FORM_TYPE = 'application/x-www-form-urlencoded';
const MEDIA_RANGE = /^(?:\*|[!#$%&'+.^_`|~\w-]+)\/(?:\*|[!#$%&'*+.^_`|~\w-]+)$/;

/** Reads a requestBody. Throws SchemaFault where it is not one. */
export function readRequestBody(start: Located, references: References): ReadBody {
  const { value, path } = references.follow(start);
  if (!isRecord(value)) throw new SchemaFault(path, 'expected a requestBody');
  const contents = readContents({ value: value.content, path: [...path, 'content'] }, references);
  return { isRequired: value.required === true, contents };
}

/** Reads the `content` of a requestBody or response. Throws SchemaFault where it is none. */
export function readContents({ value, path }: Located, references: References): readonly ReadContent[] {
  if (!isRecord(value)) throw new SchemaFault(path, 'expected content, a mapping of media types');
  return Object.entries(value).map(([type, media]) =>
    readContent(type, { value: media, path: [...path, type] }, references),
  );
}

function readContent(type: string, media: Located, references: References): ReadContent {
  const mediaRange = (type.split(';', 1)[0] ?? '').trim().toLowerCase();
  const format = formatOf(mediaRange);
  const content = { mediaRange, format, form: undefined, schema: undefined, fault: undefined } as const;
  try {
    if (!MEDIA_RANGE.test(mediaRange)) throw new SchemaFault(media.path, `${type} is not a media type`);
    const { value, path } = references.follow(media);
    if (!isRecord(value)) throw new SchemaFault(path, 'expected a media type object');
    if (value.schema === undefined) return { ...content, format: format === 'json' ? format : 'opaque' };
    const schema = { value: value.schema, path: [...path, 'schema'] };
    if (format === 'form') {
      checkEncoding({ value: value.encoding, path: [...path, 'encoding'] });
      return { ...content, form: formShape(schema, references), schema };
    }
    if (format === 'multipart') {
      const encoding = { value: value.encoding, path: [...path, 'encoding'] };
      return { ...content, multipart: multipartShape(schema, encoding, references), schema };
    }
    if (format === 'json' || mediaRange.includes('*')) {
      const isOpen = format === 'opaque' && isFreeSchema(schema, references);
      return isOpen ? content : { ...content, format: 'json', schema };
    }
    if (isFreeSchema(schema, references)) return content;
    if (mediaRange.startsWith('text/') && !NOT_PLAIN.has(mediaRange)) {
      const text = textShape(schema, references);
      if (text.kind === 'primitive') return { ...content, format: 'text', text, schema };
    }
    throw new SchemaFault(schema.path, `bodies of ${mediaRange} cannot be held against a schema in this version`);
  } catch (error) {
    if (error instanceof SchemaFault) return { ...content, fault: error };
    throw error;
  }
}

function formatOf(mediaRange: string): ApiContent['format'] {
  if (isJsonRange(mediaRange)) return 'json';
  if (mediaRange === FORM_TYPE) return 'form';
  return mediaRange === 'multipart/form-data' ? 'multipart' : 'opaque';
}

function isJsonRange(range: string): boolean {
  return isJsonType(range) || range.endsWith('*+json');
}

function formShape(schema: Located, references: References): ObjectShape {
  const shape = textShape(schema, references);
  if (shape.kind !== 'object') throw new SchemaFault(schema.path, `a schema of ${FORM_TYPE} must be of type object`);
  if (shape.additional !== undefined) return shape;
  // Undeclared fields are judged as well: the schema's additionalProperties decides about them.
  return { ...shape, additional: { kind: 'primitive', types: ['string'] } };
}

function checkEncoding({ value, path }: Located): void {
  if (!isRecord(value)) return;
  for (const [name, encoding] of Object.entries(value)) {
    const at: Path = [...path, name];
    if (!isRecord(encoding)) throw new SchemaFault(at, 'expected an encoding object');
    const { contentType, style, explode } = encoding;
    if (contentType !== undefined && contentType !== 'text/plain')
      throw new SchemaFault(at, 'encoding.contentType is not implemented in this version');
    if (style !== undefined && style !== 'form')
      throw new SchemaFault(at, `encoding.style ${String(style)} is not implemented in this version`);
    if (explode === false) throw new SchemaFault(at, 'encoding.explode: false is not implemented in this version');
  }
}
