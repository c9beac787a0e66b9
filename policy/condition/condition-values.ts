import type { CelInput } from '@bufbuild/cel';

/** Members of claims that are looked at, at any depth; a token with more of them is not judged. */
const MAX_CLAIM_VALUES = 10_000;

/** The reason why a request cannot be judged. */
export class UnjudgeableError extends Error {}

/** A value of JSON as CEL takes it: numbers are doubles, which CEL compares with whole numbers too. */
export function claimValue(value: unknown): CelInput {
  let count = 0;
  const convert = (one: unknown): CelInput => {
    if (++count > MAX_CLAIM_VALUES) throw new UnjudgeableError(`the claim holds more than ${MAX_CLAIM_VALUES} values`);
    if (Array.isArray(one)) return one.map(convert);
    if (typeof one === 'object' && one !== null) {
      return new Map(Object.entries(one).map(([name, member]) => [name, convert(member)]));
    }
    return typeof one === 'string' || typeof one === 'number' || typeof one === 'boolean' ? one : null;
  };
  return convert(value);
}

/**
 * Parameters of a query by name, those alone that are asked for. One that is there twice means one thing to one program and another to
 * another: throws UnjudgeableError. Source: WHATWG URL, application/x-www-form-urlencoded.
 */
export function queryMap(query: string, names: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!names.has(name)) continue;
    if (found.has(name)) throw new UnjudgeableError(`the parameter ${name} is there more than once`);
    found.set(name, value);
  }
  return found;
}
