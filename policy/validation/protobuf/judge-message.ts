import type { RefusalDetail } from '../../error/refusal.ts';
import type { Unit } from '../api-model.ts';
import type { OperationSettings } from '../runtime-operation.ts';
import type { MessageModel, MessagesUnit } from './message-model.ts';
import { type MessageFault, MessageWalker } from './walk-message.ts';

/** What is wrong with a message. */
export interface JudgedMessage {
  readonly code: 'malformed_body' | 'invalid_body' | 'unknown_property';
  readonly details: readonly RefusalDetail[];
}

type Rules = InstanceType<typeof import('./message-rules.ts').MessageRules>;

// The rules are some 400 KB of packages: they come with the first descriptor set that has any.
let RulesOf: (new (ruled: NonNullable<MessagesUnit['ruled']>) => Rules) | undefined;

/** True: `loadRules` must be awaited before messages of this unit are judged. */
export function hasRules(unit: Unit): boolean {
  return typeof unit === 'object' && unit.kind === 'messages' && unit.ruled !== null;
}

/** To be awaited before messages of units with rules are judged in this thread. */
export async function loadRules(): Promise<void> {
  RulesOf ??= (await import('./message-rules.ts')).MessageRules;
}

/** Judges messages of the types of one descriptor set. */
export class MessageJudge {
  readonly #unit: MessagesUnit;
  readonly #walker: MessageWalker;
  readonly #ruled: ReadonlySet<string>;
  #rules: Rules | undefined;

  constructor(unit: MessagesUnit) {
    this.#unit = unit;
    this.#walker = new MessageWalker(unit.types);
    this.#ruled = new Set(unit.ruled?.names);
  }

  /** True: messages of a type have rules, or what they hold has. */
  isRuled(type: number): boolean {
    return this.#ruled.has(this.#unit.types[type]?.name ?? '');
  }

  /** What is wrong with a message of a type; undefined: it is valid. Throws WorkExceeded. */
  judge(
    bytes: Buffer,
    type: number,
    { unknownProperties }: Pick<OperationSettings, 'unknownProperties'>,
  ): JudgedMessage | undefined {
    const { faults, ...size } = this.#walker.walk(bytes, type, unknownProperties !== 'Allow');
    const worst = faults.find(({ kind }) => kind !== 'unknown');
    if (worst !== undefined) {
      return { code: worst.kind === 'malformed' ? 'malformed_body' : 'invalid_body', details: [detailOf(worst)] };
    }
    if (this.isRuled(type)) {
      const { name } = this.#unit.types[type] as MessageModel;
      const details = this.#rulesOfAll().judge(bytes, name, size);
      if (details.length > 0) return { code: 'invalid_body', details };
    }
    return faults.length === 0 ? undefined : { code: 'unknown_property', details: faults.map(detailOf) };
  }

  #rulesOfAll(): Rules {
    const { ruled } = this.#unit;
    if (RulesOf === undefined || ruled === null) throw new Error('rules were not loaded');
    this.#rules ??= new RulesOf(ruled);
    return this.#rules;
  }
}

function detailOf({ pointer, keyword, message }: MessageFault): RefusalDetail {
  return { in: 'body', pointer, keyword, message };
}
