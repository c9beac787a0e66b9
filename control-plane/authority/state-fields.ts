/** A time as it is stored, ISO 8601. Throws where it is none. */
export function timeOf(value: unknown): number {
  const atMs = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(atMs)) throw new Error(`${JSON.stringify(value)} is no time`);
  return atMs;
}
