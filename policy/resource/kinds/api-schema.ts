import {
  choice,
  defaulted,
  type Field,
  isRecord,
  list,
  object,
  optional,
  planned,
  refined,
  required,
  type Schema,
  string,
  withCel,
} from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';
import { dnsSubdomain } from '../names.ts';

/** Largest `inline` document in a resource that a person writes: 256 KiB (larger ones stand in a file). */
export const MAX_INLINE_SCHEMA_BYTES = 256 * 1024;
/** Largest schema document at all: 32 MiB, however it came. */
export const MAX_SCHEMA_DOCUMENT_BYTES = 32 * 1024 * 1024;
/** ConfigMaps that one document may be spread over; each holds at most 1 MiB. */
const MAX_CONFIG_MAP_REFS = 32;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const CONFIG_MAP_KEY = /^[-._a-zA-Z0-9]+$/;

/** The kinds of documents, by the field that names them. */
export const DOCUMENT_FIELDS = ['openapi', 'protoDescriptorSet'] as const;
export type DocumentField = (typeof DOCUMENT_FIELDS)[number];

/** The field under which a spec that may be broken names its document. */
export function documentFieldOf(spec: unknown): DocumentField {
  return DOCUMENT_FIELDS.find((field) => isRecord(spec) && field in spec) ?? 'openapi';
}

/** An OpenAPI document as text, a descriptor set in base64; or either compressed (RFC 7932) and in base64: exactly one of both. */
export interface TravellingForm {
  readonly inline?: string | undefined;
  readonly brotli?: string | undefined;
}

/** Where a version of an API stands. Dates are `YYYY-MM-DD`, their first second in UTC is meant. */
export interface Lifecycle {
  readonly state: 'Active' | 'Deprecated' | 'Retired';
  /** Since when it is deprecated. */
  readonly since: string | undefined;
  /** When it is to be retired. */
  readonly sunset: string | undefined;
}

/**
 * An APISchema as the rest of Lateral sees it: loaded, so that the document is in it.
 *
 * Two forms, two schemas: the SOURCE form (`apiSchemaKind.spec`, what a person writes) names a file or ConfigMaps, or
 * carries up to 256 KiB inline, as text or as a mapping (a descriptor set in base64). The loader replaces `file` and
 * `configMapRefs` by what they hold, and a mapping by its JSON text (`travellingApiSchema`), which makes the TRAVELLING form
 * `{openapi: {inline: "<text>"}}`, or `{openapi: {brotli: "<base64>"}}` where the text is long, or likewise of protoDescriptorSet, read by `travellingApiSchemaKind` with the
 * bound MAX_SCHEMA_DOCUMENT_BYTES.
 */
export interface ApiSchemaSpec {
  readonly openapi?: TravellingForm | undefined;
  /** A serialized google.protobuf.FileDescriptorSet in base64; this or `openapi` is there, never both. */
  readonly protoDescriptorSet?: TravellingForm | undefined;
  /** Undefined: Active. */
  readonly lifecycle?: Lifecycle | undefined;
}

/** A part of a document: one key of a ConfigMap in the namespace of the APISchema. */
export interface ConfigMapReference {
  readonly name: string;
  readonly key: string;
}

/** Where a document is had: exactly one of these. */
export interface DocumentSource {
  /** Relative to the file that holds the resource. */
  readonly file: string | undefined;
  readonly inline: string | { readonly [key: string]: unknown } | undefined;
  /** Joined in this order, with nothing in between. */
  readonly configMapRefs: readonly ConfigMapReference[] | undefined;
}

/** An APISchema as written: exactly one of `openapi` and `protoDescriptorSet`. */
export interface SourceApiSchemaSpec {
  readonly openapi?: DocumentSource | undefined;
  readonly protoDescriptorSet?: DocumentSource | undefined;
  readonly lifecycle?: Lifecycle | undefined;
}

/** The document that an APISchema as written names, and under which field. */
export function documentSourceOf(spec: SourceApiSchemaSpec): {
  readonly field: DocumentField;
  readonly source: DocumentSource;
} {
  const { openapi, protoDescriptorSet } = spec;
  if (openapi !== undefined) return { field: 'openapi', source: openapi };
  if (protoDescriptorSet !== undefined) return { field: 'protoDescriptorSet', source: protoDescriptorSet };
  throw new Error('an APISchema without a document was read'); // the schema refuses it
}

/**
 * What the loader puts in place of the source form; `held` is what file or ConfigMaps hold (undefined for `inline`), or the document as it
 * travels already.
 */
export function travellingApiSchema(spec: SourceApiSchemaSpec, held?: string | TravellingForm): ApiSchemaSpec {
  const { field, source } = documentSourceOf(spec);
  const document = typeof held === 'object' ? held : { inline: held ?? inlineTextOf(source) };
  return { [field]: document, ...(spec.lifecycle === undefined ? {} : { lifecycle: spec.lifecycle }) };
}

/** A mapping is its JSON text. */
export function inlineTextOf({ inline }: DocumentSource): string {
  return typeof inline === 'string' ? inline : JSON.stringify(inline ?? {});
}

function tooLarge(bytes: number, maxBytes: number): string | undefined {
  return bytes > maxBytes ? `document of ${bytes} bytes exceeds the limit of ${maxBytes}` : undefined;
}

function documentText(maxBytes: number): Schema<string> {
  return string({
    maxLength: maxBytes,
    description: 'The document as text, YAML or JSON.',
    check: (value) => tooLarge(Buffer.byteLength(value), maxBytes),
  });
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function documentBytes(maxBytes: number): Schema<string> {
  return string({
    maxLength: Math.ceil(maxBytes / 3) * 4,
    description: 'The document in base64 (RFC 4648 §4).',
    check(value) {
      if (value === '' || value.length % 4 !== 0 || !BASE64.test(value)) return 'expected the document in base64';
      return tooLarge(Buffer.byteLength(value, 'base64'), maxBytes);
    },
  });
}

const inlineText = documentText(MAX_INLINE_SCHEMA_BYTES);

const inlineDocument: Schema<string | { readonly [key: string]: unknown }> = {
  json: {
    'x-kubernetes-preserve-unknown-fields': true,
    description: 'The document itself, as text or as a mapping; to 256 KiB.',
  },
  read(value, path, context) {
    if (typeof value === 'string') return inlineText.read(value, path, context);
    if (!isRecord(value)) {
      context.fail(path, 'invalid_type', 'expected the document as text or as a mapping');
      return undefined;
    }
    const bytes = Buffer.byteLength(JSON.stringify(value));
    if (bytes <= MAX_INLINE_SCHEMA_BYTES) return value;
    context.fail(
      path,
      'invalid_value',
      `document of ${bytes} bytes exceeds the limit of ${MAX_INLINE_SCHEMA_BYTES}; put it in a file`,
    );
    return undefined;
  },
};

/** Kinds of documents and sources that come in later versions. */
const laterDocuments: { readonly [name: string]: Field<undefined> } = {
  graphql: planned('a GraphQL schema'),
  xsd: planned('an XML schema'),
  wsdl: planned('a WSDL document'),
};

const configMapReferences = list(
  object(
    {
      name: required(dnsSubdomain('Name of a ConfigMap in the same namespace.')),
      key: required(
        string({
          description: 'Key of its data or binaryData.',
          maxLength: 253,
          pattern: CONFIG_MAP_KEY,
          check: (value) =>
            CONFIG_MAP_KEY.test(value) ? undefined : `${value} is not a key of a ConfigMap: a-z, 0-9, "-", "_", "."`,
        }),
      ),
    },
    'In Kubernetes: the parts of the document, joined in this order.',
  ),
  { minItems: 1, maxItems: MAX_CONFIG_MAP_REFS },
);

/** A document as people name it. */
function documentSource(inline: Schema<DocumentSource['inline']>, description: string): Schema<DocumentSource> {
  return refined(
    withCel(
      object(
        {
          file: optional(
            string({
              description:
                'Path of the document, relative to the file that names it. Files that its $refs name are taken in.',
            }),
          ),
          inline: optional(inline),
          configMapRefs: optional(configMapReferences),
        },
        description,
      ),
      {
        rule: '!has(self.file)',
        message: 'a file is read from a policy folder only; in a cluster use configMapRefs or inline',
      },
    ),
    ({ file, inline, configMapRefs }, path, context) => {
      if ([file, inline, configMapRefs].filter((source) => source !== undefined).length === 1) return true;
      context.fail(path, 'invalid_value', 'expected exactly one of file, inline and configMapRefs');
      return false;
    },
  );
}

const date = (description: string) =>
  string({
    description,
    pattern: DATE,
    check: (value) =>
      DATE.test(value) && Number.isFinite(Date.parse(value))
        ? undefined
        : `${value} is not a date; expected YYYY-MM-DD`,
  });

const lifecycle: Schema<Lifecycle> = object(
  {
    state: defaulted(
      choice(['Active', 'Deprecated', 'Retired'], {
        description:
          'Deprecated: its operations are answered, with Deprecation (RFC 9745) and Sunset (RFC 8594) headers where the dates are given, and marked in the access log. Retired: they are refused, 410 retired_operation.',
      }),
      'Active',
    ),
    since: optional(date('Since when it is deprecated: `2026-01-31`.')),
    sunset: optional(date('When it is to be retired: `2026-12-31`.')),
  },
  'Where this version of the API stands.',
);

function ofOneDocument<Spec extends { readonly [field in DocumentField]?: unknown }>(
  schema: Schema<Spec>,
): Schema<Spec> {
  const message = `expected exactly one of ${DOCUMENT_FIELDS.join(' and ')}`;
  const one = withCel(schema, { rule: 'has(self.openapi) != has(self.protoDescriptorSet)', message });
  return refined(one, (spec, path, context) => {
    if (DOCUMENT_FIELDS.filter((field) => spec[field] !== undefined).length === 1) return true;
    context.fail(path, 'invalid_value', message);
    return false;
  });
}

const sourceSpec: Schema<SourceApiSchemaSpec> = ofOneDocument(
  object({
    openapi: optional(documentSource(inlineDocument, 'An OpenAPI 3.0 or 3.1 document, YAML or JSON.')),
    protoDescriptorSet: optional(
      documentSource(
        documentBytes(MAX_INLINE_SCHEMA_BYTES),
        'A FileDescriptorSet with all imports: protoc --descriptor_set_out --include_imports, or buf build -o.',
      ),
    ),
    lifecycle: optional(lifecycle),
    ...laterDocuments,
  }),
);

const travellingForm = (inline: Schema<string>): Schema<TravellingForm> =>
  refined(
    object({ inline: optional(inline), brotli: optional(documentBytes(MAX_SCHEMA_DOCUMENT_BYTES)) }),
    ({ inline, brotli }, path, context) => {
      if ((inline === undefined) !== (brotli === undefined)) return true;
      context.fail(path, 'invalid_value', 'expected exactly one of inline and brotli');
      return false;
    },
  );

const travellingSpec: Schema<ApiSchemaSpec> = ofOneDocument(
  object({
    openapi: optional(travellingForm(documentText(MAX_SCHEMA_DOCUMENT_BYTES))),
    protoDescriptorSet: optional(travellingForm(documentBytes(MAX_SCHEMA_DOCUMENT_BYTES))),
    lifecycle: optional(lifecycle),
  }),
);

const names = {
  kind: 'APISchema',
  plural: 'apischemas',
  apiVersions: ['lateral.dev/v1alpha1'],
  description: 'The description of an API: an OpenAPI 3.0 or 3.1 document, or a protobuf descriptor set.',
};

/** APISchema as people write it. */
export const apiSchemaKind: ResourceKind<SourceApiSchemaSpec> = { ...names, spec: sourceSpec };

/** APISchema as it travels and is compiled; everything behind the loader reads this form. */
export const travellingApiSchemaKind: ResourceKind<ApiSchemaSpec> = { ...names, spec: travellingSpec };
