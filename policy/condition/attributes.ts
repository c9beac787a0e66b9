import { DYN, INT, mapOf, STRING, type ValueType } from './value-type.ts';

/** What a condition may look at. Those of maps have members, which a condition must name. */
export const ATTRIBUTES = {
  'source.principal': STRING,
  'source.namespace': STRING,
  'source.serviceAccount': STRING,
  'source.ip': STRING,
  'destination.ip': STRING,
  'destination.port': INT,
  'request.method': STRING,
  'request.path': STRING,
  'request.host': STRING,
  'request.headers': mapOf(STRING),
  'request.query': mapOf(STRING),
  jwt: mapOf(DYN),
} as const satisfies { readonly [name: string]: ValueType };

export type AttributeName = keyof typeof ATTRIBUTES;

export function isAttribute(name: string): name is AttributeName {
  return Object.hasOwn(ATTRIBUTES, name);
}

/** What is named of a map, and so what the log must hold for `lateral replay`. */
export interface Reads {
  readonly attributes: ReadonlySet<AttributeName>;
  /** Lower case. */
  readonly headers: ReadonlySet<string>;
  readonly queryParameters: ReadonlySet<string>;
  /** Names of claims at the top of the token. */
  readonly claims: ReadonlySet<string>;
}
