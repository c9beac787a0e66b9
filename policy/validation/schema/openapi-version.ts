/** Versions of OpenAPI that Lateral reads; the patch version means nothing. */
export type OpenApiVersion = '3.0' | '3.1';

/** Dialects of schemas that OpenAPI 3.1 documents may declare. */
export const DIALECTS: ReadonlySet<unknown> = new Set([
  'https://json-schema.org/draft/2020-12/schema',
  'https://spec.openapis.org/oas/3.1/dialect/base',
  'https://spec.openapis.org/oas/3.1/dialect/2024-11-10',
]);

export type VersionResult =
  | { readonly kind: 'valid'; readonly version: OpenApiVersion }
  | { readonly kind: 'invalid'; readonly reason: string };

/** The version that a document says it is of. Source: OpenAPI 3.1 §4.1. */
export function readVersion(document: { readonly [key: string]: unknown }): VersionResult {
  const { openapi, swagger } = document;
  if (typeof openapi === 'string') {
    const version = /^3\.([01])\.\d+(?:-.*)?$/.exec(openapi)?.[1];
    if (version !== undefined) return { kind: 'valid', version: version === '0' ? '3.0' : '3.1' };
    return { kind: 'invalid', reason: `OpenAPI ${openapi} is not supported; expected 3.0.x or 3.1.x` };
  }
  if (swagger !== undefined) {
    return { kind: 'invalid', reason: `Swagger ${String(swagger)} is not supported; convert it to OpenAPI 3.0 or 3.1` };
  }
  if (typeof openapi === 'number') {
    return { kind: 'invalid', reason: 'openapi must be a string such as "3.1.0", in quotes and with three numbers' };
  }
  return { kind: 'invalid', reason: 'not an OpenAPI document: there is no field openapi' };
}
