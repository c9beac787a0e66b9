import { isPathTemplate } from '../../path/path-template.ts';

/** A star that is no wildcard to Istio: it is compared as it is. */
export function wildcardDoubt(value: string): string | undefined {
  const isBoth = value.length > 1 && value.startsWith('*') && value.endsWith('*');
  if (!isBoth && !value.slice(1, -1).includes('*')) return undefined;
  return `a * is a wildcard only at one end of a value; in ${value} it is compared as it is`;
}

/** A path that no request has. */
export function pathDoubt(value: string): string | undefined {
  if (isPathTemplate(value)) return undefined;
  if (!value.startsWith('/') && !value.startsWith('*')) return `no path is ${value}: paths begin with /`;
  if (value.includes('?')) return `no path is ${value}: the query is not part of it`;
  return wildcardDoubt(value);
}

/** A method that no client sends. */
export function methodDoubt(value: string): string | undefined {
  if (value !== value.toUpperCase())
    return `methods are compared with regard to case; did you mean ${value.toUpperCase()}?`;
  return wildcardDoubt(value);
}
