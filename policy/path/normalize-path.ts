import type { PathNormalization } from '../workload-policy.ts';
import { ambiguityOf } from './find-ambiguity.ts';
import { mergeSlashes, resolveBase, unescapeSlashes } from './istio-normalization.ts';

export type PathResult =
  | { readonly kind: 'normal'; readonly path: string }
  /** To be refused with 400; `reason` says what can be read in two ways. */
  | { readonly kind: 'ambiguous'; readonly reason: string };

/**
 * The one path that authorization, validation, records and the app see; `path` is without the query.
 *
 * Under `Refuse` nothing is decoded and nothing is rewritten: an unambiguous path is returned as it came, so
 * that no two parts can see two paths; an ambiguous one is refused. The other modes are those of Istio
 * (meshConfig.pathNormalization) and rewrite the path: the result is what must be sent on.
 */
export function normalizePath(path: string, mode: PathNormalization): PathResult {
  switch (mode) {
    case 'Refuse': {
      const reason = ambiguityOf(path);
      return reason === undefined ? { kind: 'normal', path } : { kind: 'ambiguous', reason };
    }
    case 'NONE':
      return { kind: 'normal', path };
    case 'BASE':
      return normal(resolveBase(path));
    case 'MERGE_SLASHES':
      return normal(resolveBase(path), mergeSlashes);
    case 'DECODE_AND_MERGE_SLASHES':
      return normal(resolveBase(unescapeSlashes(path)), mergeSlashes);
  }
}

function normal(path: string | undefined, then?: (path: string) => string): PathResult {
  if (path === undefined)
    return { kind: 'ambiguous', reason: 'the path has an encoded NUL (%00) and cannot be normalized' };
  return { kind: 'normal', path: then === undefined ? path : then(path) };
}
