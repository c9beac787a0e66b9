/** Types of messages as plain data: made in a worker, sent to the threads that judge. */

/**
 * How a field stands on the wire. `string` must be UTF-8, `bytes` need not be; `message` and `group` hold a message of
 * `type`. Source: protobuf, Encoding.
 */
export type WireKind = 'varint' | 'fixed64' | 'fixed32' | 'string' | 'bytes' | 'message' | 'group';

export interface FieldModel {
  readonly number: number;
  readonly name: string;
  readonly kind: WireKind;
  readonly isRepeated: boolean;
  /** Index of the type of a message or group; else -1. */
  readonly type: number;
  /** The numbers of a closed enum: to parsers any other is a field that they do not know. */
  readonly closed: readonly number[] | undefined;
}

export interface MessageModel {
  /** `shop.v1.Order`; of the entries of a map: of the map's field. */
  readonly name: string;
  readonly fields: readonly FieldModel[];
  /** Numbers of the fields that must be there (proto2 `required`). */
  readonly required: readonly number[];
}

/** The messages of a descriptor set's methods, and what these hold. */
export interface MessagesUnit {
  readonly kind: 'messages';
  readonly types: readonly MessageModel[];
  /** By name, the types that carry rules (`buf.validate`), themselves or in what they hold; null: none does. */
  readonly ruled: { readonly names: readonly string[]; readonly descriptorSet: Uint8Array } | null;
}
