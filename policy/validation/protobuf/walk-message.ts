import { isUtf8 } from 'node:buffer';
import { spendWork } from '../schema/work-budget.ts';
import type { FieldModel, MessageModel } from './message-model.ts';

/** Deepest nesting of messages and groups, the outermost counted: what protobuf's own parsers take by default. */
export const MAX_MESSAGE_DEPTH = 100;

/** Why bytes are not a message of a type, at a place. */
export interface MessageFault {
  /** `malformed`: no parser reads it; `invalid`: parsers read it otherwise than the type says; `unknown`: of a field that it lacks. */
  readonly kind: 'malformed' | 'invalid' | 'unknown';
  /** JSON Pointer of names: `/items/0/sku`. */
  readonly pointer: string;
  readonly keyword: string;
  readonly message: string;
}

export interface WalkedMessage {
  readonly faults: readonly MessageFault[];
  /** Fields that came, those of the messages within it too. */
  readonly values: number;
  /** Bytes of packed numbers: as many values at most. */
  readonly packedBytes: number;
}

interface WalkedField extends Omit<FieldModel, 'closed'> {
  readonly closed: ReadonlySet<number> | undefined;
}

/** What of a type the walk needs at hand. */
interface WalkedType {
  readonly fields: ReadonlyMap<number, WalkedField>;
  readonly required: readonly number[];
}

/** Work of a field beside its bytes, in the units of work-budget.ts; of a value of a closed enum that is packed, which is read as a number. */
const VALUE_WORK = 4;

/** Parsers differ on longer ones. */
const MAX_TAG_BYTES = 5;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

const WIRE_TYPES: { readonly [kind in FieldModel['kind']]: number } = {
  varint: VARINT,
  fixed64: FIXED64,
  fixed32: FIXED32,
  string: LENGTH,
  bytes: LENGTH,
  message: LENGTH,
  group: START_GROUP,
};

const WIRE_NAMES = ['varint', '64-bit', 'length-delimited', 'group', 'end of group', '32-bit'];

/** Fields that parsers would pass over, told of at most. */
const MAX_UNKNOWN_TOLD = 20;

/** Holds bytes against types of messages as they stand on the wire, without making anything of them. */
export class MessageWalker {
  readonly #types: readonly WalkedType[];

  constructor(types: readonly MessageModel[]) {
    this.#types = types.map(({ fields, required }) => ({
      fields: new Map(
        fields.map((field) => [field.number, { ...field, closed: field.closed && new Set(field.closed) }]),
      ),
      required,
    }));
  }

  /**
   * What keeps the bytes from being a message of a type; empty: nothing does. `asksUnknown`: fields that the type lacks are told of when there
   * is nothing worse. Throws WorkExceeded.
   */
  walk(bytes: Buffer, type: number, asksUnknown: boolean): WalkedMessage {
    spendWork(bytes.length);
    const walk = new Walk(bytes, this.#types, asksUnknown);
    try {
      walk.message(type, bytes.length, 1);
    } catch (error) {
      if (error instanceof Fault) return { faults: [error.told()], values: walk.values, packedBytes: walk.packedBytes };
      throw error;
    }
    const { values, packedBytes } = walk;
    return { faults: walk.unknown.map((unknown) => unknown.told()), values, packedBytes };
  }
}

/** Thrown where the walk ends; the messages around it say where that is. */
class Fault {
  readonly #kind: MessageFault['kind'];
  readonly #keyword: string;
  readonly #message: string;
  #pointer = '';

  constructor(kind: MessageFault['kind'], keyword: string, message: string) {
    this.#kind = kind;
    this.#keyword = keyword;
    this.#message = message;
  }

  within(step: string): this {
    this.#pointer = `/${step}${this.#pointer}`;
    return this;
  }

  told(): MessageFault {
    return { kind: this.#kind, pointer: this.#pointer, keyword: this.#keyword, message: this.#message };
  }
}

class Walk {
  readonly unknown: Fault[] = [];
  values = 0;
  packedBytes = 0;
  readonly #bytes: Buffer;
  readonly #types: readonly WalkedType[];
  readonly #asksUnknown: boolean;
  #at = 0;

  constructor(bytes: Buffer, types: readonly WalkedType[], asksUnknown: boolean) {
    this.#bytes = bytes;
    this.#types = types;
    this.#asksUnknown = asksUnknown;
  }

  /** From `#at` to `end`; of a group (`group` is its number) to its end, which must come before. */
  message(index: number, end: number, depth: number, group = 0): void {
    if (depth > MAX_MESSAGE_DEPTH) throw new Fault('malformed', 'depth', `is nested deeper than ${MAX_MESSAGE_DEPTH}`);
    const type = this.#types[index] as WalkedType;
    const { required } = type;
    const seen = required.length === 0 ? undefined : new Set<number>();
    let counts: Map<number, number> | undefined;
    while (this.#at < end) {
      this.values += 1;
      spendWork(VALUE_WORK);
      const tag = this.#tag(end);
      const number = tag >>> 3;
      const wire = tag & 7;
      if (wire === END_GROUP) {
        if (number !== group)
          throw new Fault('malformed', 'group', `has the end of group ${number}, which it is not in`);
        this.#lacks(type, seen);
        return;
      }
      const field = type.fields.get(number);
      if (field === undefined) {
        this.#passUnknown(number, wire, end, depth);
        continue;
      }
      seen?.add(number);
      if (field.isRepeated) {
        counts ??= new Map();
        counts.set(number, (counts.get(number) ?? -1) + 1);
      }
      const told = this.unknown.length;
      try {
        this.#value(field, wire, end, depth);
      } catch (fault) {
        if (fault instanceof Fault) placed(fault, field, counts);
        throw fault;
      }
      for (let at = told; at < this.unknown.length; at += 1) placed(this.unknown[at] as Fault, field, counts);
    }
    if (group !== 0) throw new Fault('malformed', 'group', `does not end: group ${group}`);
    this.#lacks(type, seen);
  }

  #lacks({ required, fields }: WalkedType, seen: ReadonlySet<number> | undefined): void {
    for (const number of required) {
      if (seen?.has(number) !== true)
        throw new Fault('invalid', 'required', 'is required').within(fields.get(number)?.name ?? '');
    }
  }

  #value(field: WalkedField, wire: number, end: number, depth: number): void {
    const { kind } = field;
    if (wire !== WIRE_TYPES[kind]) {
      const isPacked = wire === LENGTH && field.isRepeated && kind !== 'group';
      if (isPacked) {
        this.#packed(field, end);
        return;
      }
      const expected = WIRE_NAMES[WIRE_TYPES[kind]];
      throw new Fault('invalid', 'wireType', `is ${WIRE_NAMES[wire]} on the wire, ${expected} by its type`);
    }
    if (kind === 'varint') this.#varint(field, end);
    else if (kind === 'fixed64') this.#skip(8, end);
    else if (kind === 'fixed32') this.#skip(4, end);
    else if (kind === 'group') this.message(field.type, end, depth + 1, field.number);
    else this.#delimited(field, kind, end, depth);
  }

  #delimited(field: WalkedField, kind: 'string' | 'bytes' | 'message', end: number, depth: number): void {
    const length = this.#length(end);
    const from = this.#at;
    if (kind === 'message') {
      this.message(field.type, from + length, depth + 1);
      return;
    }
    if (kind === 'string' && !this.#isText(from, from + length)) throw new Fault('invalid', 'utf8', 'is not UTF-8');
    this.#at = from + length;
  }

  #packed(field: WalkedField, end: number): void {
    const length = this.#length(end);
    const to = this.#at + length;
    this.packedBytes += length;
    if (field.kind === 'varint') {
      if (field.closed !== undefined) spendWork(length * VALUE_WORK);
      while (this.#at < to) this.#varint(field, to);
      return;
    }
    const size = field.kind === 'fixed64' ? 8 : 4;
    if (length % size !== 0)
      throw new Fault('malformed', 'length', `is packed in ${length} bytes, no multiple of ${size}`);
    this.#at = to;
  }

  #varint(field: WalkedField, end: number): void {
    if (field.closed === undefined) {
      this.#passVarint(end);
      return;
    }
    const value = this.#readVarint(end);
    if (field.closed.has(Number(BigInt.asIntN(32, value))) || !this.#asksUnknown) return;
    this.#tell(new Fault('unknown', 'enum', 'is no value of its enum'));
  }

  #passUnknown(number: number, wire: number, end: number, depth: number): void {
    this.#passValue(number, wire, end, depth);
    if (this.#asksUnknown) {
      this.#tell(new Fault('unknown', 'unknown', 'is a field that the type does not have').within(String(number)));
    }
  }

  #tell(fault: Fault): void {
    if (this.unknown.length < MAX_UNKNOWN_TOLD) this.unknown.push(fault);
  }

  #passValue(number: number, wire: number, end: number, depth: number): void {
    if (wire === VARINT) this.#passVarint(end);
    else if (wire === FIXED64) this.#skip(8, end);
    else if (wire === FIXED32) this.#skip(4, end);
    else if (wire === LENGTH) this.#at += this.#length(end);
    else if (wire === START_GROUP) this.#passGroup(number, end, depth + 1);
    else throw new Fault('malformed', 'wireType', `has a field of the wire type ${wire}, which there is not`);
  }

  #passGroup(group: number, end: number, depth: number): void {
    if (depth > MAX_MESSAGE_DEPTH) throw new Fault('malformed', 'depth', `is nested deeper than ${MAX_MESSAGE_DEPTH}`);
    while (this.#at < end) {
      spendWork(VALUE_WORK);
      const tag = this.#tag(end);
      if ((tag & 7) !== END_GROUP) {
        this.#passValue(tag >>> 3, tag & 7, end, depth);
        continue;
      }
      if (tag >>> 3 !== group) throw new Fault('malformed', 'group', `group ${group} ends as ${tag >>> 3}`);
      return;
    }
    throw new Fault('malformed', 'group', `does not end: group ${group}`);
  }

  /** A tag: at most 32 bits, its number not 0. */
  #tag(end: number): number {
    const first = this.#bytes[this.#at] as number;
    if (first < 0x80) {
      this.#at += 1;
      if (first < 8) throw new Fault('malformed', 'tag', 'has a field of the number 0');
      return first;
    }
    const from = this.#at;
    const tag = this.#readVarint(end);
    if (tag > 0xffffffffn || tag < 8n || this.#at - from > MAX_TAG_BYTES)
      throw new Fault('malformed', 'tag', 'has a field of a number that there is not');
    return Number(tag);
  }

  #length(end: number): number {
    const first = this.#bytes[this.#at] as number;
    let length: number;
    if (this.#at < end && first < 0x80) {
      this.#at += 1;
      length = first;
    } else {
      length = Number(this.#readVarint(end));
    }
    if (length > end - this.#at) {
      throw new Fault('malformed', 'length', `says that it is of ${length} bytes, where ${end - this.#at} are left`);
    }
    return length;
  }

  #skip(bytes: number, end: number): void {
    if (bytes > end - this.#at) throw new Fault('malformed', 'length', 'ends within a value');
    this.#at += bytes;
  }

  #passVarint(end: number): void {
    const bytes = this.#bytes;
    const last = Math.min(end, this.#at + 10);
    for (let at = this.#at; at < last; at += 1) {
      if ((bytes[at] as number) >= 0x80) continue;
      this.#at = at + 1;
      return;
    }
    throw new Fault(
      'malformed',
      'varint',
      end - this.#at < 10 ? 'ends within a number' : 'has a number of over 64 bits',
    );
  }

  #readVarint(end: number): bigint {
    const from = this.#at;
    this.#passVarint(end);
    let value = 0n;
    for (let at = this.#at - 1; at >= from; at -= 1) value = (value << 7n) | BigInt((this.#bytes[at] as number) & 0x7f);
    return BigInt.asUintN(64, value);
  }

  #isText(from: number, to: number): boolean {
    const bytes = this.#bytes;
    let at = from;
    while (at < to && (bytes[at] as number) < 0x80) at += 1;
    return at === to || isUtf8(bytes.subarray(at, to));
  }
}

function placed(
  fault: Fault,
  { name, number, isRepeated }: WalkedField,
  counts: ReadonlyMap<number, number> | undefined,
): void {
  if (isRepeated) fault.within(String(counts?.get(number) ?? 0));
  fault.within(name);
}
