import type { PathNormalization } from '../workload-policy.ts';
import { ambiguityOf } from './find-ambiguity.ts';
import { decodeUnreserved, mergeSlashes, resolveBase, unescapeSlashes } from './istio-normalization.ts';

export type PathResult =
  | { readonly kind: 'normal'; readonly path: string }
  /** To be refused with 400; `reason` says what can be read in two ways. */
  | { readonly kind: 'ambiguous'; readonly reason: string };

/**
 * The one path that authorization, validation, records and the app see; `path` is without the query.
 *
 * Under `Refuse` an ambiguous path is refused, and an unambiguous one returned as it came, but for characters
 * that were encoded without need (`/%61dmin` is `/admin`, RFC 3986 §6.2.2.2). The other modes are those of
 * Istio (meshConfig.pathNormalization). In every mode the result is what must be sent on, so that no two parts
 * can see two paths.
 */
export function normalizePath(path: string, mode: PathNormalization): PathResult {
  switch (mode) {
    case 'Refuse': {
      const broken = brokenEncodingOf(path); // before decoding, which could complete it
      if (broken !== undefined)
        return { kind: 'ambiguous', reason: `the path has a broken percent-encoding (${broken})` };
      const plain = decodeUnreserved(path);
      const reason = ambiguityOf(plain);
      return reason === undefined ? { kind: 'normal', path: plain } : { kind: 'ambiguous', reason };
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

function brokenEncodingOf(path: string): string | undefined {
  return path.includes('%') ? /%(?![0-9a-f]{2}).{0,2}/is.exec(path)?.[0] : undefined;
}
