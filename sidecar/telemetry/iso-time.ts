let lastMs = Number.NaN;
let lastText = '';

/** Milliseconds since the epoch as ISO 8601 in UTC; requests of the same millisecond share the text. */
export function isoTime(milliseconds: number): string {
  if (milliseconds !== lastMs) {
    lastMs = milliseconds;
    lastText = new Date(milliseconds).toISOString();
  }
  return lastText;
}
