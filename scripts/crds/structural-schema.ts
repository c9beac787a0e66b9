import { isRecord, type JsonSchema } from '#policy/schema/schema.ts';

const PRESERVE = 'x-kubernetes-preserve-unknown-fields';
const INT_OR_STRING = 'x-kubernetes-int-or-string';
/** Taken over as they are; whatever else a schema says must be known here, so that nothing is lost in silence. */
const PLAIN = [
  'type',
  'description',
  'default',
  'enum',
  'minLength',
  'maxLength',
  'pattern',
  'minimum',
  'maximum',
  'minItems',
  'maxItems',
  'required',
  'x-kubernetes-validations',
  PRESERVE,
];

/**
 * A schema of ours as a structural schema (Kubernetes, "Specifying a structural schema").
 *
 * Every mapping keeps fields it does not know: the API server would drop them in silence, and a policy whose misspelt
 * `from` was dropped allows everybody. The validating webhook sees them so, and refuses with the nearest spelling.
 * Planned fields are kept for the same reason.
 */
export function structuralSchema(schema: JsonSchema): JsonSchema {
  if (schema['x-lateral-planned'] === true) return { description: schema['description'], [PRESERVE]: true };
  if (schema[INT_OR_STRING] === true) return intOrString(schema);
  const made: { [key: string]: unknown } = {};
  for (const [key, value] of Object.entries(schema)) {
    if (PLAIN.includes(key)) made[key] = JSON.parse(JSON.stringify(value));
    else if (key === 'properties' && isRecord(value)) made[key] = mapValues(value);
    else if ((key === 'items' || key === 'additionalProperties') && isRecord(value))
      made[key] = structuralSchema(value);
    else throw new Error(`no structural form of the keyword ${key}`);
  }
  if (made['properties'] !== undefined) made[PRESERVE] = true;
  // `kubectl explain` shows what is said of the list, not of its entries
  const { items } = made;
  if (isRecord(items) && items['description'] !== undefined) made['description'] ??= items['description'];
  if (made['type'] === undefined && made[PRESERVE] !== true) throw new Error('a field needs a type');
  return made;
}

/** The API server knows the two types by the extension, and by no other form of `anyOf`. */
function intOrString({ anyOf: _anyOf, ...schema }: JsonSchema): JsonSchema {
  return { ...schema, anyOf: [{ type: 'integer' }, { type: 'string' }] };
}

function mapValues(properties: { readonly [name: string]: unknown }): JsonSchema {
  return Object.fromEntries(
    Object.entries(properties).map(([name, property]) => [name, structuralSchema(isRecord(property) ? property : {})]),
  );
}
