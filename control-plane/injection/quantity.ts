import type { Schema } from '#policy/schema/schema.ts';

/** Kubernetes' resource.Quantity: a number, then a decimal or binary suffix, or an exponent. */
const QUANTITY = /^[+-]?(\d+(\.\d*)?|\.\d+)(m|[kMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$/;

/** What is wrong with a quantity such as `100m` or `128Mi`; undefined: nothing. */
export function quantityComplaint(text: string): string | undefined {
  if (QUANTITY.test(text) && !text.startsWith('-')) return undefined;
  return `${JSON.stringify(text)} is not a quantity of Kubernetes, e.g. 100m (processor) or 128Mi (memory)`;
}

const SUFFIXES: { readonly [suffix: string]: number } = {
  '': 1,
  m: 1e-3,
  ...{ k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
};

/** The number that a sound quantity stands for, to be compared with others. */
export function quantityValue(text: string): number {
  const [, number = '', suffix = ''] = /^([^a-zA-Z]+)(.*)$/.exec(text) ?? [];
  return SUFFIXES[suffix] === undefined ? Number(text) : Number(number) * SUFFIXES[suffix];
}

/** A quantity, as a string or as a number. */
export const quantity: Schema<string> = {
  json: { 'x-kubernetes-int-or-string': true },
  read(value, path, context) {
    if (typeof value !== 'string' && typeof value !== 'number') {
      context.fail(path, 'invalid_type', 'expected a quantity, e.g. 100m or 128Mi');
      return undefined;
    }
    const complaint = quantityComplaint(String(value));
    if (complaint === undefined) return String(value);
    context.fail(path, 'invalid_value', complaint);
    return undefined;
  },
};
