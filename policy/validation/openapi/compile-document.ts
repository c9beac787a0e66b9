import { formatPath } from '../../schema/document-context.ts';
import type { Path } from '../../schema/schema.ts';
import type { ApiContent, ApiOperation, ApiResponse, CompiledDocument, PartHeaders, Unit } from '../api-model.ts';
import { MAIN_EXPORT } from '../instantiate-validators.ts';
import { type Direction, SchemaConverter } from '../schema/convert-schema.ts';
import type { ConvertedSchema } from '../schema/converted-schema.ts';
import { DeclaredNames } from '../schema/declared-names.ts';
import { SchemaCompiler } from '../schema/schema-compiler.ts';
import { type Located, SchemaFault } from '../schema/schema-references.ts';
import type { ReadPartHeaders } from './read-multipart.ts';
import { type ReadDocument, type ReadOperation, readOpenApi } from './read-openapi.ts';
import type { ReadParameter } from './read-parameters.ts';
import type { ReadContent } from './read-request-body.ts';
import type { ReadResponse } from './read-responses.ts';
import { titleOf } from './unavailable-operation.ts';

/** Sources of one document together, in characters; operations beyond are refused as not compiled. */
export const MAX_GENERATED_CHARACTERS = 64 * 1024 * 1024;

/** Characters of one unit: some 8 ms to become functions, which whoever waits then must bear. The longest of GitHub's has 90,000. */
const MAX_UNIT_CHARACTERS = 200_000;

/** Values in the schemas of one unit, each of which makes some 200 characters: of more no code is generated, which would take seconds. */
const MAX_GENERATED_NODES = 1_000;

export interface CompileOptions {
  /** Default false: nothing of responses is compiled. */
  readonly responses?: boolean | undefined;
  /** Default false: names of properties are not gathered. */
  readonly names?: boolean | undefined;
}

/**
 * Compiles an OpenAPI document: its operations as plain data, and the source of their validators. An operation
 * whose schema cannot be compiled says so in `unavailable`; errors of the document as a whole are in `errors`.
 */
export function compileDocument(source: string, options: CompileOptions = {}): CompiledDocument {
  const document = readOpenApi(source);
  const errors = document.problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) {
    const lines = errors.map(({ line, column, code, message }) => `${line}:${column}: ${code} ${message}`);
    return { operations: [], units: [], problems: [], errors: lines };
  }
  const compilation = new Compilation(document, options);
  const operations = document.operations.map((operation) => compilation.operation(operation));
  const { units, faults } = compilation;
  return {
    operations,
    units,
    problems: faults.map(({ operation, fault }) => `${operation}: ${formatPath(fault.path)}: ${fault.message}`),
    errors: [],
  };
}

class Compilation {
  readonly units: Unit[] = [];
  readonly faults: { readonly operation: string; readonly fault: SchemaFault }[] = [];
  readonly #document: ReadDocument;
  readonly #withResponses: boolean;
  readonly #views: { readonly [D in Direction]: SchemaConverter };
  readonly #compiler: SchemaCompiler;
  readonly #names: DeclaredNames | undefined;
  #namesUnit: number | undefined;
  /** Units that are whole with all they link to, or why there is none, by the name of their schema. */
  readonly #complete = new Map<string, number | SchemaFault>();
  /** Of the units that others link to, by the name of their schema. */
  readonly #indexes = new Map<string, number>();
  /** Of those that were compiled: why one could not be, or undefined. */
  readonly #compiled = new Map<string, SchemaFault | undefined>();
  /** Of lists of parameters, by the names of their schemas: many operations have the same. */
  readonly #parameters = new Map<string, number>();
  #characters = 0;

  constructor(document: ReadDocument, { responses, names }: CompileOptions) {
    this.#document = document;
    this.#withResponses = responses === true;
    if (names === true) this.#names = new DeclaredNames(document.references);
    const view = (direction: Direction) => new SchemaConverter(document.references, document.version, direction);
    const request = view('request');
    // Where nothing is readOnly or writeOnly the directions are one, and need be compiled once only.
    this.#views = { request, response: document.hasDirections ? view('response') : request };
    this.#compiler = new SchemaCompiler(document.version);
  }

  operation(read: ReadOperation): ApiOperation {
    const { method, template, operationId, webhook, isDeprecated, parameters, body } = read;
    const title = titleOf(read);
    const base = { method, template, operationId, webhook, isDeprecated };
    const unusable = { ...base, parameters: [], parametersUnit: undefined, body: undefined, responses: undefined };
    if (read.fault !== undefined) return { ...unusable, unavailable: this.#refused(title, read.fault) };
    const parametersUnit = attempt(() => this.#parametersUnit(parameters, 'request'));
    if (parametersUnit instanceof SchemaFault) {
      return { ...unusable, unavailable: this.#refused(title, parametersUnit) };
    }
    return {
      ...base,
      parameters: parameters.map(({ parameter }) => parameter),
      parametersUnit,
      body: body && { ...body, contents: body.contents.map((content) => this.#content(title, content, 'request')) },
      responses: this.#withResponses ? read.responses.map((response) => this.#response(title, response)) : undefined,
      unavailable: undefined,
    };
  }

  #refused(operation: string, fault: SchemaFault): string {
    this.faults.push({ operation, fault });
    return `${formatPath(fault.path)}: ${fault.message}`;
  }

  #response(operation: string, { status, headers, contents, fault }: ReadResponse): ApiResponse {
    const title = `${operation} ${status}`;
    const headersUnit = fault ?? attempt(() => this.#parametersUnit(headers, 'response'));
    if (headersUnit instanceof SchemaFault) {
      const unavailable = this.#refused(title, headersUnit);
      return { status, headers: [], headersUnit: undefined, contents: [], unavailable };
    }
    return {
      status,
      headers: headers.map(({ parameter }) => parameter),
      headersUnit,
      contents: contents.map((content) => this.#content(title, content, 'response')),
      unavailable: undefined,
    };
  }

  #content(title: string, read: ReadContent, direction: Direction): ApiContent {
    const { mediaRange, format, form, multipart, text, schema } = read;
    const unit = schema === undefined ? undefined : this.#bodyUnit(schema, direction);
    const names =
      schema === undefined || direction === 'response' || format !== 'json' ? undefined : this.#namesOf(schema);
    const partHeaders = read.partHeaders && attempt(() => this.#partHeaders(read.partHeaders ?? [], direction));
    const fault = read.fault ?? [unit, names, partHeaders].find((made) => made instanceof SchemaFault);
    const content = { mediaRange, format, form, multipart, text };
    if (fault !== undefined) {
      return { ...content, unit: undefined, unavailable: this.#refused(`${title} with ${mediaRange}`, fault) };
    }
    return {
      ...content,
      unit: unit instanceof SchemaFault ? undefined : unit,
      names: names instanceof SchemaFault ? undefined : names,
      ...(Array.isArray(partHeaders) ? { partHeaders } : {}),
      unavailable: undefined,
    };
  }

  #partHeaders(parts: readonly ReadPartHeaders[], direction: Direction): PartHeaders[] {
    return parts.map(({ property, headers }) => ({
      property,
      headers: headers.map(({ parameter }) => parameter),
      unit: this.#parametersUnit(headers, direction),
    }));
  }

  #namesOf(schema: Located): ApiContent['names'] | SchemaFault {
    const names = this.#names;
    if (names === undefined) return undefined;
    this.#namesUnit ??= this.units.push(names.unit) - 1;
    const unit = this.#namesUnit;
    return attempt(() => ({ unit, node: names.node([schema]) }));
  }

  #bodyUnit(schema: Located, direction: Direction): number | SchemaFault {
    const target = attempt(() => this.#document.references.follow(schema));
    // In 3.1 keywords may stand beside a $ref: only a schema that is nothing but a $ref is its target.
    const isAlias = !(target instanceof SchemaFault) && isOnlyReference(schema.value);
    const { path } = isAlias ? target : schema;
    return attempt(() => this.#linkedUnit(path, direction));
  }

  #parametersUnit(parameters: readonly ReadParameter[], direction: Direction): number | undefined {
    if (parameters.length === 0) return undefined;
    const view = this.#views[direction];
    const paths = parameters.map(({ schema }) => schema.path);
    const key = paths.map((path) => view.nameOf(path)).join(' ');
    const known = this.#parameters.get(key) ?? this.#makeParametersUnit(paths, view);
    this.#parameters.set(key, known);
    return known;
  }

  #makeParametersUnit(paths: readonly Path[], view: SchemaConverter): number {
    const closure = new Map(paths.flatMap((path) => [...view.closure(path)]));
    const exported = paths.map((path, index): [string, string] => [`p${index}`, view.nameOf(path)]);
    const kind = view.kindOf(closure);
    if (kind !== 'linked') return this.#wholeUnit(kind, Object.fromEntries(exported), closure, view);
    const roots = new Set(exported.map(([, name]) => name));
    const schemas = exported.map(([key, name]): [string, ConvertedSchema] => [key, closure.get(name) ?? false]);
    for (const [name, schema] of closure) if (!roots.has(name)) this.#link(name, schema, view);
    const own = schemas.map(([, schema]) => schema);
    const source = this.#source(paths[0] ?? [], own, () =>
      this.#compiler.compileLinked(Object.fromEntries(schemas), this.#linkOf),
    );
    if (source === undefined) return this.#wholeUnit('evaluated', Object.fromEntries(exported), closure, view);
    const index = this.units.push(source) - 1;
    // A parameter's schema may be referred to as any other.
    for (const [name, schema] of closure) if (this.#indexes.has(name)) this.#link(name, schema, view);
    return index;
  }

  /** The unit of a schema; those of the schemas that it refers to are made as well. */
  #linkedUnit(path: Path, direction: Direction): number {
    const view = this.#views[direction];
    const name = view.nameOf(path);
    const known = this.#complete.get(name);
    if (known instanceof SchemaFault) throw known;
    if (known !== undefined) return known;
    try {
      const closure = view.closure(path);
      const kind = view.kindOf(closure);
      if (kind === 'linked') for (const [member, schema] of closure) this.#link(member, schema, view);
      const index =
        kind === 'linked' ? this.#linkOf(name) : this.#wholeUnit(kind, { [MAIN_EXPORT]: name }, closure, view);
      this.#complete.set(name, index);
      return index;
    } catch (error) {
      if (error instanceof SchemaFault) this.#complete.set(name, error);
      throw error;
    }
  }

  /** A unit of all that a schema refers to, for what cannot be taken apart. */
  #wholeUnit(
    kind: 'evaluated' | 'whole',
    exported: { readonly [name: string]: string },
    closure: ReadonlyMap<string, ConvertedSchema>,
    view: SchemaConverter,
  ): number {
    const [first = ''] = Object.values(exported);
    const source =
      kind === 'evaluated'
        ? undefined
        : this.#source(view.pathOf(first), [...closure.values()], () => this.#compiler.compileWhole(exported, closure));
    return this.units.push(source ?? view.schemaUnit(exported, closure)) - 1;
  }

  /** Compiles the unit of one schema, once; one that cannot be compiled is a fault to all that reach it. */
  #link(name: string, schema: ConvertedSchema, view: SchemaConverter): void {
    if (!this.#compiled.has(name)) {
      const index = this.#linkOf(name);
      const source = attempt(() =>
        this.#source(view.pathOf(name), [schema], () =>
          this.#compiler.compileLinked({ [MAIN_EXPORT]: schema }, this.#linkOf),
        ),
      );
      if (source instanceof SchemaFault) this.#compiled.set(name, source);
      else {
        this.units[index] = source ?? view.schemaUnit({ [MAIN_EXPORT]: name }, view.closure(view.pathOf(name)));
        this.#compiled.set(name, undefined);
      }
    }
    const fault = this.#compiled.get(name);
    if (fault !== undefined) throw fault;
  }

  /** Index of the unit of a schema, whether it is made already or not. */
  readonly #linkOf = (name: string): number => {
    const index = this.#indexes.get(name) ?? this.units.push('') - 1;
    this.#indexes.set(name, index);
    return index;
  };

  /** The code of schemas; undefined: too long to become a function while requests wait, so that they are evaluated as they stand. */
  #source(path: Path, schemas: readonly ConvertedSchema[], compile: () => string): string | undefined {
    if (schemas.reduce((sum, schema) => sum + nodesOf(schema), 0) > MAX_GENERATED_NODES) return undefined;
    let source: string;
    try {
      source = compile();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new SchemaFault(path, `the schema cannot be compiled: ${message.slice(0, MAX_MESSAGE_LENGTH)}`);
    }
    if (source.length > MAX_UNIT_CHARACTERS) return undefined;
    this.#characters += source.length;
    if (this.#characters > MAX_GENERATED_CHARACTERS) {
      throw new SchemaFault(path, `the validators of the document exceed ${MAX_GENERATED_CHARACTERS} characters`);
    }
    return source;
  }
}

/** Ajv quotes schemas in full. */
const MAX_MESSAGE_LENGTH = 400;

function nodesOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce((sum: number, one) => sum + nodesOf(one), 1);
}

function isOnlyReference(value: unknown): boolean {
  return typeof value === 'object' && value !== null && '$ref' in value && Object.keys(value).length === 1;
}

function attempt<T>(step: () => T): T | SchemaFault {
  try {
    return step();
  } catch (error) {
    if (error instanceof SchemaFault) return error;
    throw error;
  }
}
