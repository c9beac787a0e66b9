import type { MessagesUnit } from './protobuf/message-model.ts';
import type { SchemaUnit } from './schema/converted-schema.ts';
import type { NamesUnit } from './schema/declared-names.ts';

/** Plain data that a document amounts to: made in a worker, sent to the thread that judges requests. */
export type ParameterLocation = 'path' | 'query' | 'header' | 'cookie';

/** What the text of a parameter can become. */
export type PrimitiveType = 'string' | 'integer' | 'number' | 'boolean';

/** The types a text is tried as, in this order; the first whose value is valid counts. */
export interface PrimitiveShape {
  readonly kind: 'primitive';
  readonly types: readonly PrimitiveType[];
}

export interface ArrayShape {
  readonly kind: 'array';
  readonly items: PrimitiveShape;
}

export interface ObjectShape {
  readonly kind: 'object';
  readonly properties: { readonly [name: string]: PrimitiveShape | ArrayShape };
  /** Of properties that are not declared; undefined: there are none. */
  readonly additional: PrimitiveShape | undefined;
}

/** How text turns into a value, by the declared type alone. */
export type TextShape = PrimitiveShape | ArrayShape | ObjectShape;

export type ParameterStyle = 'simple' | 'label' | 'matrix' | 'form' | 'deepObject' | 'spaceDelimited' | 'pipeDelimited';

/** One parameter of an operation, after path-level and operation-level lists are merged. */
export interface ApiParameter {
  readonly name: string;
  readonly in: ParameterLocation;
  readonly isRequired: boolean;
  readonly allowsEmptyValue: boolean;
  /** `json`: declared by `content: application/json`. */
  readonly style: ParameterStyle | 'json';
  readonly explode: boolean;
  readonly shape: TextShape;
  /** Other shapes that the text is tried as, in this order, where the first does not fit: a list or a string. */
  readonly alternatives: readonly TextShape[];
}

/** How a part of multipart/form-data becomes a value. */
export interface PartShape {
  /** `opaque`: a file, whose bytes are not looked at. */
  readonly kind: 'json' | 'text' | 'opaque';
  /** Each part of the name is an item. */
  readonly isList: boolean;
  /** Media ranges that a part must be of, where `encoding` says so. */
  readonly contentTypes: readonly string[] | undefined;
  /** Of a text. */
  readonly types: readonly PrimitiveType[];
}

export interface MultipartShape {
  /** By name. */
  readonly parts: { readonly [name: string]: PartShape };
  /** Properties that are written as parameters of a query are, but not percent-encoded. */
  readonly styled: readonly ApiParameter[];
}

/** How the fields of application/x-www-form-urlencoded become an object. */
export interface FormShape {
  /** One field a property, several for a list. */
  readonly plain: ObjectShape;
  /** Properties of another style, or of JSON. */
  readonly styled: readonly ApiParameter[];
}

/** Header fields that the parts of a property are held against. */
export interface PartHeaders {
  readonly property: string;
  readonly headers: readonly ApiParameter[];
  /** Index of the unit that holds a validator `p0`, `p1`, … for each. */
  readonly unit: number | undefined;
}

/** One entry of a request body's `content`. */
export interface ApiContent {
  /** Lower case, without parameters: `application/json`, `text/*`, `application/*+json`. */
  readonly mediaRange: string;
  /** Index of the unit that validates the body; undefined: the type alone is checked. */
  readonly unit: number | undefined;
  readonly format: 'json' | 'form' | 'multipart' | 'text' | 'opaque' | 'protobuf';
  /** Of protobuf: which of the unit's types. */
  readonly messageType?: number | undefined;
  /** What a text can become. */
  readonly text?: PrimitiveShape | undefined;
  /** Of the parts of multipart/form-data. */
  readonly multipart?: MultipartShape | undefined;
  /** Where the names of properties are that its schema declares; undefined: they are not asked for. */
  readonly names?: { readonly unit: number; readonly node: number } | undefined;
  /** Absent: no headers of parts are declared. */
  readonly partHeaders?: readonly PartHeaders[] | undefined;
  /** Of a form's fields. */
  readonly form: FormShape | undefined;
  /** Why bodies of this type cannot be checked; what cannot be checked is refused. */
  readonly unavailable: string | undefined;
}

export interface ApiBody {
  readonly isRequired: boolean;
  readonly contents: readonly ApiContent[];
}

/** One entry of an operation's `responses`. */
export interface ApiResponse {
  /** `200`, `4XX` or `default`. */
  readonly status: string;
  readonly headers: readonly ApiParameter[];
  /** Index of the unit that holds a validator `p0`, `p1`, … for each header; undefined: none is declared. */
  readonly headersUnit: number | undefined;
  /** Empty: the document says nothing about the body. */
  readonly contents: readonly ApiContent[];
  /** Why responses of this status cannot be checked; what cannot be checked is refused. */
  readonly unavailable: string | undefined;
}

/** The messages of a gRPC method. */
export interface GrpcMethod {
  readonly request: ApiContent;
  readonly response: ApiContent;
  readonly isClientStreaming: boolean;
  readonly isServerStreaming: boolean;
}

export interface ApiOperation {
  /** Upper case. */
  readonly method: string;
  /** As documented, with the base path in front: `/v1/orders/{id}`; of a webhook, which has none, empty. */
  readonly template: string;
  /** Name of the webhook that it is of; undefined: it is of a path. */
  readonly webhook: string | undefined;
  readonly operationId: string | undefined;
  /** OpenAPI's own `deprecated: true`. */
  readonly isDeprecated: boolean;
  readonly parameters: readonly ApiParameter[];
  /** Index of the unit that holds a validator `p0`, `p1`, … for each parameter; undefined: no parameters. */
  readonly parametersUnit: number | undefined;
  /** Undefined: the operation takes no body. */
  readonly body: ApiBody | undefined;
  /** Undefined: they were not asked for. */
  readonly responses: readonly ApiResponse[] | undefined;
  /** Of a gRPC method; absent: it is none. */
  readonly grpc?: GrpcMethod | undefined;
  /** Why the operation cannot be checked; what cannot be checked is refused. */
  readonly unavailable: string | undefined;
}

/** What validators are made of: JavaScript source, or plain data. */
export type Unit = string | SchemaUnit | NamesUnit | MessagesUnit;

/** A document as compiled: what `GenerateValidators` gives for a job. */
export interface CompiledDocument {
  readonly operations: readonly ApiOperation[];
  /** By index: a CommonJS module, made by Ajv, or schemas that are evaluated. */
  readonly units: readonly Unit[];
  /** One line each: operations that cannot be checked. */
  readonly problems: readonly string[];
  /** Errors that make the document unusable as a whole. */
  readonly errors: readonly string[];
}

/** A fault in a document, where it stands in its text. */
export interface DocumentProblem {
  /** Of a document of several files: in which. */
  readonly file?: string | undefined;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** A warning leaves the document in force: an operation of it is refused, or a part of it ignored. */
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly message: string;
}
