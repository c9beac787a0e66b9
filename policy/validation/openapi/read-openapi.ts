import { isRecord, type Path } from '../../schema/schema.ts';
import type { ApiOperation, DocumentProblem } from '../api-model.ts';
import { takesOpenNames } from '../decode/parameter-value.ts';
import { parseTemplate, templateShape } from '../path-template.ts';
import { DIALECTS, type OpenApiVersion, readVersion } from '../schema/openapi-version.ts';
import { type Located, References, SchemaFault } from '../schema/schema-references.ts';
import { basePath } from './base-path.ts';
import { type DocumentText, readDocumentText } from './openapi-text.ts';
import {
  type DeclaredParameter,
  declaredParameters,
  isIgnored,
  mergeParameters,
  type ReadParameter,
  readParameter,
} from './read-parameters.ts';
import { type ReadBody, readRequestBody } from './read-request-body.ts';
import { type ReadResponse, readResponses } from './read-responses.ts';

/** An operation of a document; its schemas are not looked at yet. */
export interface ReadOperation {
  readonly method: ApiOperation['method'];
  /** With the base path. */
  readonly template: string;
  readonly operationId: string | undefined;
  /** Name of the webhook that it is of; undefined: it is of a path. A webhook's template is empty: its policy says where it arrives. */
  readonly webhook: string | undefined;
  readonly isDeprecated: boolean;
  readonly path: Path;
  readonly parameters: readonly ReadParameter[];
  readonly body: ReadBody | undefined;
  readonly responses: readonly ReadResponse[];
  /** Why the operation cannot be checked. */
  readonly fault: SchemaFault | undefined;
}

export interface ReadDocument {
  readonly text: DocumentText;
  readonly version: OpenApiVersion;
  readonly references: References;
  readonly operations: readonly ReadOperation[];
  /** Some property is `readOnly` or `writeOnly`: requests and responses are held against different schemas. */
  readonly hasDirections: boolean;
  /** Errors of the document as a whole; with any, it must not be put in force. */
  readonly problems: readonly DocumentProblem[];
}

/** More operations in one document are refused. */
export const MAX_OPERATIONS = 5_000;

/** Fields of a path item that are operations. Source: OpenAPI 3.1 §4.8.9. */
const METHODS = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']);
const PATH_ITEM_FIELDS = new Set(['summary', 'description', 'servers', 'parameters', '$ref']);

/** Reads an OpenAPI 3.0 or 3.1 document: its operations, and all errors with their positions. `text`: the source as it was read already. */
export function readOpenApi(source: string, text: DocumentText = readDocumentText(source)): ReadDocument {
  const reader = new Reader(text, source.includes('draft-04'));
  reader.guard(() => reader.read());
  const { version, references, operations, problems } = reader;
  const hasDirections = /readOnly|writeOnly/.test(source);
  return { text, version, references, operations, hasDirections, problems: [...text.problems, ...problems] };
}

/** Where operations stand. */
interface OperationPlace {
  readonly template: string;
  /** Of its parameters. */
  readonly names: readonly string[];
  readonly base: string;
  readonly webhook: string | undefined;
}

class Reader {
  readonly problems: DocumentProblem[] = [];
  readonly operations: ReadOperation[] = [];
  version: OpenApiVersion = '3.1';
  references: References;
  readonly #text: DocumentText;
  readonly #mentionsDraft04: boolean;
  readonly #operationIds = new Map<string, string>();
  readonly #served = new Map<string, string>();

  constructor(text: DocumentText, mentionsDraft04: boolean) {
    this.#text = text;
    this.#mentionsDraft04 = mentionsDraft04;
    this.references = new References(undefined, false);
  }

  read(): void {
    const root = this.#text.value;
    if (root === undefined) {
      if (this.#text.problems.length === 0) throw fault([], 'invalid_type', 'the document is empty');
      return;
    }
    if (!isRecord(root)) throw fault([], 'invalid_type', 'expected an OpenAPI document, a mapping');
    const result = readVersion(root);
    if (result.kind === 'invalid') throw fault(['openapi'], 'unsupported_version', result.reason);
    this.version = result.version;
    this.references = new References(root, result.version === '3.1', this.#mentionsDraft04);
    const { paths, jsonSchemaDialect } = root;
    if (jsonSchemaDialect !== undefined && !DIALECTS.has(jsonSchemaDialect)) {
      const message = `the dialect ${String(jsonSchemaDialect)} is not supported; expected JSON Schema 2020-12`;
      throw fault(['jsonSchemaDialect'], 'unsupported_dialect', message);
    }
    if (result.version === '3.1') this.#webhooks(root.webhooks);
    if (paths === undefined && result.version === '3.1') return;
    if (!isRecord(paths)) throw fault(['paths'], 'missing_field', 'an OpenAPI document needs paths, a mapping');
    const base = this.#base(root.servers, ['servers'], '');
    for (const [template, item] of Object.entries(paths)) {
      if (template.startsWith('x-')) continue;
      this.guard(() => this.#pathItem(template, { value: item, path: ['paths', template] }, base));
    }
  }

  /** OpenAPI 3.1 §4.8.1: requests that come to whoever asked for them. */
  #webhooks(webhooks: unknown): void {
    if (webhooks === undefined) return;
    if (!isRecord(webhooks)) throw fault(['webhooks'], 'invalid_type', 'expected a mapping of names to path items');
    for (const [name, item] of Object.entries(webhooks)) {
      if (name.startsWith('x-')) continue;
      this.guard(() =>
        this.#operationsOf(
          { value: item, path: ['webhooks', name] },
          { template: '', names: [], base: '', webhook: name },
        ),
      );
    }
  }

  #pathItem(template: string, start: Located, outerBase: string): void {
    const parsed = parseTemplate(template);
    if (parsed.kind === 'invalid') throw fault(start.path, 'invalid_path', `path ${template} ${parsed.reason}`, 'key');
    const names = parsed.segments.flatMap((segment) => segment.names);
    this.#operationsOf(start, { template, names, base: outerBase, webhook: undefined });
  }

  #operationsOf(start: Located, place: OperationPlace): void {
    const { value: item, path } = this.references.follow(start);
    if (!isRecord(item)) throw fault(path, 'invalid_type', 'expected a path item, a mapping');
    const isServed = item.servers !== undefined && place.webhook === undefined;
    const base = isServed ? this.#base(item.servers, [...path, 'servers'], place.base) : place.base;
    const shared = declaredParameters({ value: item.parameters, path: [...path, 'parameters'] }, this.references);
    for (const [field, operation] of Object.entries(item)) {
      const at = [...path, field];
      if (METHODS.has(field))
        this.guard(() => this.#operation(field, { value: operation, path: at }, shared, { ...place, base }));
      else if (!PATH_ITEM_FIELDS.has(field) && !field.startsWith('x-')) {
        this.#error(
          at,
          'unknown_field',
          `unknown field ${field}; methods are written in lower case: ${[...METHODS].join(', ')}`,
          'key',
        );
      }
    }
  }

  #operation(
    method: string,
    { value, path }: Located,
    shared: readonly DeclaredParameter[],
    { template, names, base: outerBase, webhook }: OperationPlace,
  ): void {
    if (!isRecord(value)) throw fault(path, 'invalid_type', 'expected an operation, a mapping');
    const isServed = value.servers !== undefined && webhook === undefined;
    const base = isServed ? this.#base(value.servers, [...path, 'servers'], outerBase) : outerBase;
    const own = declaredParameters({ value: value.parameters, path: [...path, 'parameters'] }, this.references);
    const declared = mergeParameters(shared, own);
    this.#checkPathParameters(template, names, declared, path);
    const full = base + template;
    const operation = {
      method: method.toUpperCase(),
      template: full,
      operationId: this.#operationId(value, path),
      webhook,
      isDeprecated: value.deprecated === true,
      path,
    };
    if (webhook === undefined && !this.#isNew(operation.method, full, path)) return;
    if (this.operations.length === MAX_OPERATIONS) {
      throw fault(path, 'too_many_operations', `more than ${MAX_OPERATIONS} operations`, 'key');
    }
    const responses = readResponses({ value: value.responses, path: [...path, 'responses'] }, this.references);
    try {
      const heeded = declared.filter((parameter) => !isIgnored(parameter));
      const parameters = heeded.map((parameter) => readParameter(parameter, this.references));
      refuseTwoOpenObjects(parameters, path);
      const body =
        value.requestBody === undefined
          ? undefined
          : readRequestBody({ value: value.requestBody, path: [...path, 'requestBody'] }, this.references);
      this.operations.push({
        ...operation,
        parameters: inTemplate(parameters, names),
        body,
        responses,
        fault: undefined,
      });
    } catch (error) {
      if (!(error instanceof SchemaFault)) throw error;
      this.operations.push({ ...operation, parameters: [], body: undefined, responses: [], fault: error });
    }
  }

  #operationId(operation: { readonly [key: string]: unknown }, path: Path): string | undefined {
    const { operationId } = operation;
    if (operationId === undefined) return undefined;
    const at = [...path, 'operationId'];
    if (typeof operationId !== 'string') {
      this.#error(at, 'invalid_type', 'operationId must be a string');
      return undefined;
    }
    const place = path.slice(1).join(' ');
    const other = this.#operationIds.get(operationId);
    if (other !== undefined)
      this.#error(at, 'duplicate_operation_id', `operationId ${operationId} is also that of ${other}`);
    else this.#operationIds.set(operationId, place);
    return operationId;
  }

  /**
   * Path items that differ only in the names of their parameters, or by `servers` of their own, can name one path. OpenAPI 3.1
   * §4.8.8.1 forbids the former; public documents have them all the same, with other methods, and then nothing is ambiguous.
   */
  #isNew(method: string, template: string, path: Path): boolean {
    const parsed = parseTemplate(template);
    const key = `${method} ${parsed.kind === 'valid' ? templateShape(parsed.segments) : template}`;
    const other = this.#served.get(key);
    if (other === undefined) {
      this.#served.set(key, template);
      return true;
    }
    this.#error(
      path,
      'ambiguous_template',
      `${method} ${template} matches the same requests as ${method} ${other}`,
      'key',
    );
    return false;
  }

  #checkPathParameters(
    template: string,
    names: readonly string[],
    declared: readonly DeclaredParameter[],
    path: Path,
  ): void {
    const inPath = new Set(declared.filter((parameter) => parameter.in === 'path').map(({ name }) => name));
    for (const name of names) {
      if (inPath.has(name)) continue;
      const message = `path parameter ${name} of ${template} is not declared under parameters`;
      this.#error(path, 'undeclared_path_parameter', message, 'key');
    }
    for (const name of inPath) {
      if (names.includes(name)) continue;
      const message = `path parameter ${name} does not occur in ${template}; it is ignored`;
      this.problems.push(this.#text.problem('warning', path, 'unused_path_parameter', message, 'key'));
    }
  }

  #base(servers: unknown, path: Path, otherwise: string): string {
    const base = basePath(servers);
    const parsed = base === undefined || base === '' ? undefined : parseTemplate(base);
    if (base !== undefined && parsed?.kind !== 'invalid') return base;
    this.#error(path, 'invalid_server', 'the URL of the server cannot be read');
    return otherwise;
  }

  #error(path: Path, code: string, message: string, at?: 'key'): void {
    this.problems.push(this.#text.problem('error', path, code, message, at));
  }

  /** Turns a fault into an error of the document; what comes after the step is read all the same. */
  guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!(error instanceof SchemaFault)) throw error;
      this.#error(error.path, error.code, error.message, error.at);
    }
  }
}

function fault(path: Path, code: string, message: string, at?: 'key'): SchemaFault {
  return new SchemaFault(path, message, code, at);
}

/** Two exploded objects that take any name from the query: which of them a name belongs to is not defined. */
function refuseTwoOpenObjects(parameters: readonly ReadParameter[], path: Path): void {
  const open = parameters.filter(({ parameter }) => takesOpenNames(parameter));
  if (open.length > 1) throw fault(path, 'invalid_schema', 'two query parameters take all names that others leave');
}

function inTemplate(parameters: readonly ReadParameter[], names: readonly string[]): readonly ReadParameter[] {
  return parameters.filter(({ parameter }) => parameter.in !== 'path' || names.includes(parameter.name));
}
