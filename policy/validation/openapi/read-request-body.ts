import { isRecord } from '../../schema/schema.ts';
import type { ApiContent, FormShape, MultipartShape, PrimitiveShape } from '../api-model.ts';
import { isJsonType } from '../decode/media-type.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';
import { isFreeSchema } from './free-schema.ts';
import { readForm } from './read-encoding.ts';
import { type ReadPartHeaders, readMultipart } from './read-multipart.ts';
import { textShape } from './text-shape.ts';

/** An entry of `content`, and the place of its schema where the body is held against one. */
export interface ReadContent {
  readonly mediaRange: string;
  readonly format: ApiContent['format'];
  readonly form: FormShape | undefined;
  readonly multipart?: MultipartShape | undefined;
  /** Declared header fields of the parts of multipart/form-data. */
  readonly partHeaders?: readonly ReadPartHeaders[] | undefined;
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
    const encoding = { value: value.encoding, path: [...path, 'encoding'] };
    if (format === 'form') return { ...content, form: readForm(schema, encoding, references), schema };
    if (format === 'multipart') return { ...content, ...readMultipart(schema, encoding, references), schema };
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
