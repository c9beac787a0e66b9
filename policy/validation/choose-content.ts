import { type FlatHeaders, headerValue } from '../http/flat-headers.ts';
import { isJsonType, type MediaType, parseMediaType, rangeFit } from './media-type.ts';
import type { RuntimeContent } from './runtime-operation.ts';

/**
 * The entry of `content` for the type that a message says it has, the most specific that fits; a string: why there is none that
 * the body can be held against.
 */
export function chooseContent(contents: readonly RuntimeContent[], headers: FlatHeaders): RuntimeContent | string {
  const value = headerValue(headers, 'content-type');
  if (value === undefined) return `the body has no content-type; declared: ${declaredIn(contents)}`;
  const type = parseMediaType(value);
  if (type === undefined) return `the content-type ${shown(value)} cannot be read; declared: ${declaredIn(contents)}`;
  let best: RuntimeContent | undefined;
  let bestFit = 0;
  for (const candidate of contents) {
    const fit = rangeFit(candidate.content.mediaRange, type.essence);
    if (fit > bestFit) {
      best = candidate;
      bestFit = fit;
    }
  }
  if (best === undefined) {
    return `the content type ${type.essence} is not declared; declared: ${declaredIn(contents)}`;
  }
  return complaint(best, type) ?? codingComplaint(best, headers) ?? best;
}

function declaredIn(contents: readonly RuntimeContent[]): string {
  return contents.map(({ content }) => content.mediaRange).join(', ');
}

/** What keeps a body of a declared type from being read, or undefined. */
function complaint({ content }: RuntimeContent, type: MediaType): string | undefined {
  if (content.format === 'opaque') return undefined;
  if (content.format === 'json' && !isJsonType(type.essence)) {
    return `bodies of ${type.essence} cannot be held against the schema of ${content.mediaRange}; only JSON can`;
  }
  if (type.charset !== undefined && type.charset !== 'utf-8' && type.charset !== 'utf8') {
    return `the charset ${shown(type.charset)} is not supported; expected utf-8`;
  }
  return undefined;
}

function codingComplaint({ content }: RuntimeContent, headers: FlatHeaders): string | undefined {
  if (content.format === 'opaque' || content.unavailable !== undefined) return undefined;
  const coding = headerValue(headers, 'content-encoding');
  if (coding === undefined || coding.trim().toLowerCase() === 'identity') return undefined;
  return `the content coding ${shown(coding)} is not supported; bodies that are checked must come as they are`;
}

/** Characters of a header's value in a reason. */
const MAX_SHOWN_LENGTH = 100;

function shown(value: string): string {
  return JSON.stringify(value.length > MAX_SHOWN_LENGTH ? `${value.slice(0, MAX_SHOWN_LENGTH)}…` : value);
}
