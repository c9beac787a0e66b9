/** Writes one operational event: its name and its facts. No secrets. */
export type EventLog = (event: string, fields?: { readonly [name: string]: unknown }) => void;

/** Events as one JSON object a line: `{"time":…,"event":…,…}`. */
export function jsonEventLog(write: (text: string) => void): EventLog {
  return (event, fields = {}) => {
    write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`);
  };
}
