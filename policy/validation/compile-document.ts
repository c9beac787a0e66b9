import { formatPath } from '../schema/document-context.ts';
import type { ApiContent, ApiOperation, CompiledDocument, DocumentProblem } from './api-model.ts';
import { SchemaConverter } from './convert-schema.ts';
import { type ReadDocument, type ReadOperation, readOpenApi } from './read-openapi.ts';
import type { ReadContent } from './read-request-body.ts';
import { SchemaCompiler } from './schema-compiler.ts';
import { type Located, SchemaFault } from './schema-references.ts';

/** Sources of one document together, in characters; operations beyond are refused as not compiled. */
export const MAX_GENERATED_CHARACTERS = 64 * 1024 * 1024;

/** A compiled document, and the same problems with their positions. */
export interface CheckedDocument extends CompiledDocument {
  readonly documentProblems: readonly DocumentProblem[];
}

/**
 * Compiles an OpenAPI document: its operations as plain data, and the source of their validators. An operation
 * whose schema cannot be compiled says so in `unavailable`; errors of the document as a whole are in `errors`.
 */
export function compileDocument(source: string): CheckedDocument {
  const document = readOpenApi(source);
  const errors = document.problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) {
    const lines = errors.map(({ line, column, code, message }) => `${line}:${column}: ${code} ${message}`);
    return { operations: [], units: [], problems: [], errors: lines, documentProblems: document.problems };
  }
  const compilation = new Compilation(document);
  const operations = document.operations.map((operation) => compilation.operation(operation));
  const { units, faults } = compilation;
  return {
    operations,
    units,
    problems: faults.map(({ operation, fault }) => `${operation}: ${formatPath(fault.path)}: ${fault.message}`),
    errors: [],
    documentProblems: [
      ...document.problems,
      ...faults.map(({ operation, fault }) => warning(document, operation, fault)),
    ],
  };
}

function warning({ text }: ReadDocument, operation: string, fault: SchemaFault): DocumentProblem {
  return text.problem('warning', fault.path, 'schema_unavailable', `${operation} is refused: ${fault.message}`);
}

class Compilation {
  readonly units: string[] = [];
  readonly faults: { readonly operation: string; readonly fault: SchemaFault }[] = [];
  readonly #document: ReadDocument;
  readonly #converter: SchemaConverter;
  readonly #compiler: SchemaCompiler;
  /** Index of the unit, or why there is none, by the name of the schema: bodies of one schema share it. */
  readonly #bodies = new Map<string, number | SchemaFault>();
  #characters = 0;

  constructor(document: ReadDocument) {
    this.#document = document;
    this.#converter = new SchemaConverter(document.references, document.version);
    this.#compiler = new SchemaCompiler(document.version);
  }

  operation(read: ReadOperation): ApiOperation {
    const { method, template, operationId, parameters, body } = read;
    const title = `${method} ${template}`;
    const base = { method, template, operationId };
    const unusable = { ...base, parameters: [], parametersUnit: undefined, body: undefined };
    if (read.fault !== undefined) return { ...unusable, unavailable: this.#refused(title, read.fault) };
    const parametersUnit = attempt(() => this.#parametersUnit(read));
    if (parametersUnit instanceof SchemaFault) {
      return { ...unusable, unavailable: this.#refused(title, parametersUnit) };
    }
    return {
      ...base,
      parameters: parameters.map(({ parameter }) => parameter),
      parametersUnit,
      body: body && { ...body, contents: body.contents.map((content) => this.#content(title, content)) },
      unavailable: undefined,
    };
  }

  #refused(operation: string, fault: SchemaFault): string {
    this.faults.push({ operation, fault });
    return `${formatPath(fault.path)}: ${fault.message}`;
  }

  #content(title: string, read: ReadContent): ApiContent {
    const { mediaRange, format, form, schema } = read;
    const unit = schema === undefined ? undefined : this.#bodyUnit(schema);
    const fault = read.fault ?? (unit instanceof SchemaFault ? unit : undefined);
    const content = { mediaRange, format, form };
    if (fault !== undefined) {
      return { ...content, unit: undefined, unavailable: this.#refused(`${title} with ${mediaRange}`, fault) };
    }
    return { ...content, unit: unit instanceof SchemaFault ? undefined : unit, unavailable: undefined };
  }

  #bodyUnit(schema: Located): number | SchemaFault {
    const target = attempt(() => this.#document.references.follow(schema));
    // In 3.1 keywords may stand beside a $ref: only a schema that is nothing but a $ref is its target.
    const isAlias = !(target instanceof SchemaFault) && isOnlyReference(schema.value);
    const { path } = isAlias ? target : schema;
    const name = this.#converter.nameOf(path);
    const known = this.#bodies.get(name);
    if (known !== undefined) return known;
    const unit = attempt(() => this.#unit([{ value: undefined, path }], 'b'));
    this.#bodies.set(name, unit);
    return unit;
  }

  #parametersUnit({ parameters }: ReadOperation): number | undefined {
    if (parameters.length === 0) return undefined;
    return this.#unit(
      parameters.map(({ schema }) => schema),
      'p',
    );
  }

  /** One module that exports a validator for each schema: `p0`, `p1`, … */
  #unit(schemas: readonly Located[], prefix: 'p' | 'b'): number {
    const closure = new Map(schemas.flatMap(({ path }) => [...this.#converter.closure(path)]));
    const exported = Object.fromEntries(
      schemas.map(({ path }, index) => [`${prefix}${index}`, this.#converter.nameOf(path)]),
    );
    const path = schemas[0]?.path ?? [];
    let source: string;
    try {
      source = this.#compiler.compile(exported, closure);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new SchemaFault(path, `the schema cannot be compiled: ${message.slice(0, MAX_MESSAGE_LENGTH)}`);
    }
    this.#characters += source.length;
    if (this.#characters > MAX_GENERATED_CHARACTERS) {
      throw new SchemaFault(path, `the validators of the document exceed ${MAX_GENERATED_CHARACTERS} characters`);
    }
    return this.units.push(source) - 1;
  }
}

/** Ajv quotes schemas in full. */
const MAX_MESSAGE_LENGTH = 400;

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
