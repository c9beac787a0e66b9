/** A schema as Ajv gets it: only keywords that assert something, `$ref`s replaced by names of other converted ones. */
export type ConvertedSchema = { readonly [keyword: string]: unknown } | boolean;

/** Schemas that are evaluated as they stand, where generated code is known to judge them wrongly. Plain data. */
export interface SchemaUnit {
  readonly kind: 'schema';
  /** Names of exported validators to names of schemas. */
  readonly exported: { readonly [name: string]: string };
  /** By name; `$ref` holds the name of another, `$dynamicRef` `{ name, anchor }`. */
  readonly schemas: ReadonlyMap<string, ConvertedSchema>;
  /** The schema resource (the nearest `$id`) that a schema is of, by name. */
  readonly resources: ReadonlyMap<string, string>;
  /** Names of schemas by `$dynamicAnchor`, by resource. */
  readonly dynamicAnchors: ReadonlyMap<string, ReadonlyMap<string, string>>;
}
