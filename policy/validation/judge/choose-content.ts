import { type FlatHeaders, headerValue, headerValues } from '../../http/flat-headers.ts';
import { boundaryOf, isJsonType, type MediaType, parseMediaType, rangeFit } from '../decode/media-type.ts';
import { type ContentCoding, codingOf } from '../decode/undo-coding.ts';
import type { RuntimeContent } from '../runtime-operation.ts';

/** An entry of `content`, and what must be undone to look at the body. */
export interface ChosenContent {
  readonly content: RuntimeContent;
  readonly coding: ContentCoding | undefined;
  /** Between the parts of a multipart body. */
  readonly boundary: string | undefined;
}

/**
 * The entry of `content` for the type that a message says it has, the most specific that fits; a string: why there is none that
 * the body can be held against.
 */
export function chooseContent(contents: readonly RuntimeContent[], headers: FlatHeaders): ChosenContent | string {
  const value = headerValues(headers, 'content-type');
  // Joined they could be one: `a/b; x="` and `c/d; y="`.
  if (typeof value === 'object') return `the body has two content-types; declared: ${declaredIn(contents)}`;
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
  const boundary = best.content.format === 'multipart' ? boundaryOf(value) : undefined;
  if (best.content.format === 'multipart' && boundary === undefined) return 'the content-type names no boundary';
  return complaint(best, type) ?? withCoding(best, boundary, headers);
}

function declaredIn(contents: readonly RuntimeContent[]): string {
  return contents.map(({ content }) => content.mediaRange).join(', ');
}

/** Names of UTF-8, and of its first half. */
const CHARSETS: ReadonlySet<string> = new Set(['utf-8', 'utf8', 'us-ascii']);

/** What keeps a body of a declared type from being read, or undefined. */
function complaint({ content }: RuntimeContent, type: MediaType): string | undefined {
  if (content.format === 'opaque') return undefined;
  if (content.format === 'json' && !isJsonType(type.essence)) {
    return `bodies of ${type.essence} cannot be held against the schema of ${content.mediaRange}; only JSON can`;
  }
  if (type.charset !== undefined && !CHARSETS.has(type.charset)) {
    return `the charset ${shown(type.charset)} is not supported; expected utf-8`;
  }
  return undefined;
}

/** Nothing is undone for a body that nobody looks at. */
function withCoding(
  content: RuntimeContent,
  boundary: string | undefined,
  headers: FlatHeaders,
): ChosenContent | string {
  const value = headerValue(headers, 'content-encoding');
  if (value === undefined || content.content.format === 'opaque') return { content, coding: undefined, boundary };
  const coding = codingOf(value);
  if (coding !== undefined) return { content, coding: coding === 'identity' ? undefined : coding, boundary };
  return `the content coding ${shown(value)} is not supported; bodies that are checked come in gzip, deflate, br or zstd, or as they are`;
}

/** Characters of a header's value in a reason. */
const MAX_SHOWN_LENGTH = 100;

function shown(value: string): string {
  return JSON.stringify(value.length > MAX_SHOWN_LENGTH ? `${value.slice(0, MAX_SHOWN_LENGTH)}…` : value);
}
