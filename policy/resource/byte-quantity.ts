import type { Schema } from '../schema/schema.ts';

const SUFFIXES: { readonly [suffix: string]: number } = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
};

const QUANTITY = /^(\d{1,15}(?:\.\d{1,3})?)(k|M|G|Ki|Mi|Gi)?$/;

/**
 * Bytes written as a number or as a Kubernetes quantity (`1048576`, `1Mi`, `500k`), read as a number of bytes.
 * Source: Kubernetes API, resource.Quantity; only the suffixes that make sense for a size in memory.
 */
export function byteQuantity(rules: { minimum: number; maximum: number; description: string }): Schema<number> {
  const { minimum, maximum, description } = rules;
  return {
    json: {
      anyOf: [{ type: 'integer' }, { type: 'string' }],
      'x-kubernetes-int-or-string': true,
      description: `${description} A number of bytes or a quantity such as 512Ki or 1Mi.`,
    },
    read(value, path, context) {
      const bytes = typeof value === 'number' ? value : typeof value === 'string' ? parseBytes(value) : undefined;
      if (bytes === undefined || !Number.isInteger(bytes)) {
        context.fail(path, 'invalid_type', 'expected a whole number of bytes or a quantity such as 512Ki or 1Mi');
        return undefined;
      }
      if (bytes >= minimum && bytes <= maximum) return bytes;
      context.fail(path, 'invalid_value', `${bytes} bytes are outside of ${minimum} to ${maximum}`);
      return undefined;
    },
  };
}

function parseBytes(text: string): number | undefined {
  const match = QUANTITY.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * (SUFFIXES[match[2] ?? ''] ?? 1);
}
