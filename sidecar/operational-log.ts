/** Writes what operators should know, one JSON object a line on stderr: `time`, `event`, and its fields. Never secrets. */
export function logEvent(event: string, fields: object = {}): void {
  process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`);
}
