import { create, type DescField, type DescMessage, type DescMethod, hasOption, ScalarType } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { createValidator, type Validator } from '@bufbuild/protovalidate';
import {
  field as fieldRules,
  message as messageRules,
  oneof as oneofRules,
} from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import type { ApiContent, ApiOperation, CompiledDocument } from '../api-model.ts';
import type { FieldModel, MessageModel, MessagesUnit, WireKind } from './message-model.ts';
import { readDescriptorSet } from './read-descriptor-set.ts';
import { reduceDescriptorSet } from './reduce-descriptor-set.ts';

/** Types of messages that the methods of one set may reach. */
export const MAX_MESSAGE_TYPES = 20_000;
/** Methods of one set. */
export const MAX_GRPC_METHODS = 5_000;

/**
 * Compiles the methods of a descriptor set: each is an operation POST /PACKAGE.SERVICE/METHOD, whose body is messages of a type. Its one unit
 * holds all types. A method whose rules cannot be compiled is unavailable.
 */
export function compileDescriptorSet(bytes: Buffer): CompiledDocument {
  const read = readDescriptorSet(bytes);
  const none = { operations: [], units: [], problems: [] };
  if (read.kind === 'invalid') return { ...none, errors: [read.reason] };
  if (read.methods.length > MAX_GRPC_METHODS) {
    return { ...none, errors: [`has ${read.methods.length} methods, at most ${MAX_GRPC_METHODS}`] };
  }
  const types = new TypeTable();
  const rules = new RuleTable(createValidator({ registry: read.registry }));
  const problems: string[] = [];
  const operations = read.methods.map((method) => {
    const operation = operationOf(method, types, rules);
    if (operation.unavailable !== undefined)
      problems.push(`${operation.template} is refused: ${operation.unavailable}`);
    return operation;
  });
  const models = types.models();
  if (models === undefined) return { ...none, errors: [`reaches more than ${MAX_MESSAGE_TYPES} types of messages`] };
  const names = rules.ruled;
  const ruled = names.length === 0 ? null : { names, descriptorSet: reduceDescriptorSet(bytes) };
  const unit: MessagesUnit = { kind: 'messages', types: models, ruled };
  return { operations, units: [unit], problems, errors: [] };
}

function operationOf(method: DescMethod, types: TypeTable, rules: RuleTable): ApiOperation {
  const service = method.parent.typeName;
  const [input, output] = [types.indexOf(method.input), types.indexOf(method.output)];
  const content = (type: number): ApiContent => ({
    mediaRange: 'application/grpc',
    unit: 0,
    format: 'protobuf',
    messageType: type,
    form: undefined,
    unavailable: undefined,
  });
  const isClientStreaming = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  const isServerStreaming = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
  return {
    method: 'POST',
    template: `/${service}/${method.name}`,
    webhook: undefined,
    operationId: `${service}/${method.name}`,
    isDeprecated: method.deprecated || method.parent.deprecated,
    parameters: [],
    parametersUnit: undefined,
    body: undefined,
    responses: undefined,
    grpc: { request: content(input), response: content(output), isClientStreaming, isServerStreaming },
    unavailable: rules.fault(method.input) ?? rules.fault(method.output),
  };
}

/** Numbers the types that are reached, each when it is first met. */
class TypeTable {
  readonly #indices = new Map<string, number>();
  readonly #pending: { readonly index: number; readonly of: DescMessage | DescField }[] = [];
  readonly #models: MessageModel[] = [];

  indexOf(message: DescMessage): number {
    return this.#index(message.typeName, message);
  }

  /** Undefined: there are too many. */
  models(): readonly MessageModel[] | undefined {
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      if (this.#indices.size > MAX_MESSAGE_TYPES) return undefined;
      this.#models[next.index] = next.of.kind === 'message' ? this.#message(next.of) : this.#entry(next.of);
    }
    return this.#models;
  }

  #index(name: string, of: DescMessage | DescField): number {
    const known = this.#indices.get(name);
    if (known !== undefined) return known;
    const index = this.#indices.size;
    this.#indices.set(name, index);
    this.#pending.push({ index, of });
    return index;
  }

  #message(message: DescMessage): MessageModel {
    const required = message.fields.filter(({ presence }) => presence === FeatureSet_FieldPresence.LEGACY_REQUIRED);
    return {
      name: message.typeName,
      fields: message.fields.map((field) => this.#field(field)),
      required: required.map(({ number }) => number),
    };
  }

  /** The entries of a map are messages of a key and a value. Source: protobuf, Encoding, Maps. */
  #entry(field: DescField): MessageModel {
    if (field.fieldKind !== 'map') throw new TypeError(`${String(field)} is no map`);
    const base = { isRepeated: false, closed: undefined };
    const key = { ...base, number: 1, name: 'key', kind: kindOf(field.mapKey, field.utf8Validation), type: -1 };
    const value = { number: 2, name: 'value', isRepeated: false, ...this.#valueOf(field) };
    return { name: String(field), fields: [key, value], required: [] };
  }

  #field(field: DescField): FieldModel {
    const base = { number: field.number, name: field.name };
    if (field.fieldKind === 'map') {
      const type = this.#index(`${field.parent.typeName}.${field.name} (map)`, field);
      return { ...base, kind: 'message', isRepeated: true, type, closed: undefined };
    }
    return { ...base, isRepeated: field.fieldKind === 'list', ...this.#valueOf(field) };
  }

  /** Of a field, of the items of a list, of the values of a map. */
  #valueOf(field: DescField): Pick<FieldModel, 'kind' | 'type' | 'closed'> {
    const what =
      field.fieldKind === 'list' ? field.listKind : field.fieldKind === 'map' ? field.mapKind : field.fieldKind;
    if (what === 'message' && field.message !== undefined) {
      const isGroup = field.fieldKind !== 'map' && 'delimitedEncoding' in field && field.delimitedEncoding;
      return { kind: isGroup ? 'group' : 'message', type: this.indexOf(field.message), closed: undefined };
    }
    if (what === 'enum' && field.enum !== undefined) {
      const closed = field.enum.open ? undefined : field.enum.values.map(({ number }) => number);
      return { kind: 'varint', type: -1, closed };
    }
    if (field.scalar === undefined) throw new TypeError(`${String(field)} is of no kind that there is`);
    return { kind: kindOf(field.scalar, field.utf8Validation), type: -1, closed: undefined };
  }
}

/** `isUtf8`: parsers refuse texts that are not; in proto2 they do not. */
function kindOf(scalar: ScalarType, isUtf8: boolean): WireKind {
  switch (scalar) {
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return 'fixed64';
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return 'fixed32';
    case ScalarType.STRING:
      return isUtf8 ? 'string' : 'bytes';
    case ScalarType.BYTES:
      return 'bytes';
    default:
      return 'varint';
  }
}

/** Which types carry rules, and whether these can be compiled. */
class RuleTable {
  readonly #validator: Validator;
  readonly #reached = new Map<string, ReadonlySet<DescMessage>>();
  readonly #faults = new Map<string, string | undefined>();
  readonly #ruled = new Set<string>();

  constructor(validator: Validator) {
    this.#validator = validator;
  }

  /** The types of methods that carry rules, themselves or in what they hold. */
  get ruled(): readonly string[] {
    return [...this.#ruled];
  }

  /** Why the rules of a method's type cannot be compiled; undefined: they can, or there are none. */
  fault(message: DescMessage): string | undefined {
    const { typeName } = message;
    if (!this.#reached.has(typeName)) {
      const reached = reachedFrom(message);
      this.#reached.set(typeName, reached);
      const ruled = [...reached].filter(hasRules);
      if (ruled.length > 0) this.#ruled.add(typeName);
      this.#faults.set(
        typeName,
        ruled.map((one) => this.#compile(one)).find((fault) => fault !== undefined),
      );
    }
    return this.#faults.get(typeName);
  }

  /** Rules are compiled when a message first comes: an empty one brings out what cannot be. */
  #compile(message: DescMessage): string | undefined {
    const { kind, error } = this.#validator.validate(message, create(message));
    return kind === 'error' && error.name === 'CompilationError'
      ? `rules of ${message.typeName}: ${error.message}`
      : undefined;
  }
}

function reachedFrom(message: DescMessage): ReadonlySet<DescMessage> {
  const reached = new Set([message]);
  for (const one of reached)
    for (const field of one.fields) if (field.message !== undefined) reached.add(field.message);
  return reached;
}

function hasRules(message: DescMessage): boolean {
  return (
    hasOption(message, messageRules) ||
    message.fields.some((field) => hasOption(field, fieldRules)) ||
    message.oneofs.some((oneof) => hasOption(oneof, oneofRules))
  );
}
