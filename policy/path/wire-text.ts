/** A text as requests have it: in UTF-8, one character a byte. */
export function wireText(text: string): string {
  return /[^\0-\x7f]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}
