import type { ReadContext, Schema } from '../schema/schema.ts';
import { readDocument } from './read-document.ts';

/** More than one variable of the environment can hold; longer ones are the YAML reader's, which has bounds of its own. */
const MAX_CHARACTERS = 131_072;

/**
 * The configuration of a text that JSON.stringify wrote, as the injector's are, in which nothing is amiss; undefined for any other,
 * which `readConfiguration` reads and complains of. So a pod's sidecar loads no YAML reader: 30 ms of its start.
 */
export function readCompactConfiguration<T>(text: string, kind: string, schema: Schema<T>): T | undefined {
  if (text.length > MAX_CHARACTERS) return undefined;
  const document = parseCompact(text);
  if (document === undefined) return undefined;
  let isClean = true;
  const note = () => {
    isClean = false;
  };
  const context: ReadContext = { fail: note, warn: note };
  const value = readDocument(document, kind, schema, context);
  return isClean ? value : undefined;
}

/** Undefined unless written again it is the same text: a key that stands twice would be seen once. */
function parseCompact(text: string): unknown {
  try {
    const document: unknown = JSON.parse(text);
    return JSON.stringify(document) === text ? document : undefined;
  } catch {
    return undefined; // no JSON, or nested too deep
  }
}
