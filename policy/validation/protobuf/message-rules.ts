import { fromBinary } from '@bufbuild/protobuf';
import type { Path } from '@bufbuild/protobuf/reflect';
import { createValidator, type Validator, type Violation } from '@bufbuild/protovalidate';
import type { RefusalDetail } from '../../error/refusal.ts';
import { shownPointer } from '../schema/validation-details.ts';
import { countMaking, spendWork } from '../schema/work-budget.ts';
import type { MessagesUnit } from './message-model.ts';
import { readDescriptorSet } from './read-descriptor-set.ts';
import type { WalkedMessage } from './walk-message.ts';

/** Work of decoding a field and holding it against rules, in the units of work-budget.ts: about a microsecond. */
const RULE_WORK_VALUE = 120;
/** Of a byte of packed numbers, each of which may become an object of 24 bytes. */
const RULE_WORK_PACKED = 8;
/** Work of any message that has rules. */
const RULE_WORK_MESSAGE = 1_000;

/** Holds messages against the rules (`buf.validate`) of their types. */
export class MessageRules {
  readonly #registry;
  readonly #validator: Validator;

  /** Takes some milliseconds, which count as making. Throws where the descriptor set cannot be read. */
  constructor({ descriptorSet }: NonNullable<MessagesUnit['ruled']>) {
    const read = readDescriptorSet(descriptorSet);
    if (read.kind === 'invalid') throw new Error(read.reason);
    this.#registry = read.registry;
    this.#validator = createValidator({ registry: read.registry });
    countMaking(descriptorSet.byteLength);
  }

  /** What is wrong with a message that was walked before; empty: nothing. Throws WorkExceeded. */
  judge(
    bytes: Uint8Array,
    typeName: string,
    { values, packedBytes }: Pick<WalkedMessage, 'values' | 'packedBytes'>,
  ): readonly RefusalDetail[] {
    spendWork(RULE_WORK_MESSAGE + bytes.length + values * RULE_WORK_VALUE + packedBytes * RULE_WORK_PACKED);
    const schema = this.#registry.getMessage(typeName);
    if (schema === undefined) throw new Error(`the descriptor set has no ${typeName}`);
    const result = this.#validator.validate(schema, fromBinary(schema, bytes));
    if (result.kind === 'valid') return [];
    if (result.kind === 'invalid') return result.violations.map(detailOf);
    const { message } = result.error;
    return [{ in: 'body', pointer: '', keyword: 'rule', message: `a rule could not be evaluated: ${message}` }];
  }
}

function detailOf({ field, rule, ruleId, message }: Violation): RefusalDetail {
  const isOwn = rule.some((step) => step.kind === 'field' && (step.name === 'cel' || step.name === 'cel_expression'));
  // What a rule in CEL says may hold the value.
  return {
    in: 'body',
    pointer: pointerOf(field),
    keyword: ruleId,
    message: isOwn ? 'breaks a rule of its type' : message,
  };
}

/** JSON Pointer of a path of names, indices and keys, which come from the caller. */
function pointerOf(path: Path): string {
  const pointer = path
    .map((step) => {
      switch (step.kind) {
        case 'list_sub':
          return `/${step.index}`;
        case 'map_sub':
          return `/${escaped(String(step.key))}`;
        default:
          return `/${step.name}`;
      }
    })
    .join('');
  return shownPointer(pointer);
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
