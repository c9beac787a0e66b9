import { createInterface } from 'node:readline';
import { type TapRequest, tapQuery } from '#sidecar/telemetry/tap-request.ts';
import type { Dial } from './dial.ts';
import { recordOf } from './facts.ts';
import { openPage, textOfAnswer } from './get-page.ts';

/** A line of the access log, as JSON has it. */
export type LogLine = { readonly [field: string]: unknown };

export interface TapEvents {
  readonly onBegin: () => void;
  readonly onLine: (line: LogLine, text: string) => void;
}

/** Lines that a tap was not given: there were too many, or the reader was too slow. */
export interface TapEnd {
  readonly skipped: number;
}

/** Looks on at one sidecar until its tap ends, or the signal is aborted. Rejects with a sentence when it breaks off. */
export async function tapSidecar(
  dial: Dial,
  request: TapRequest,
  events: TapEvents,
  signal: AbortSignal,
): Promise<TapEnd> {
  const response = await openPage(dial, `/tap?${tapQuery(request)}`);
  if (response.statusCode !== 200) {
    const why = (await textOfAnswer(response)).trim().slice(0, 200);
    const hint = response.statusCode === 404 ? '; is the sidecar of an older version?' : '';
    throw new Error(`${response.statusCode} ${why}${hint}`);
  }
  const lines = createInterface({ input: response });
  const leave = () => {
    lines.close(); // what it reads from may be gone without a word
    response.destroy();
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    for await (const text of lines) {
      const line = recordOf(JSON.parse(text));
      if (line.event === 'tap_began') events.onBegin();
      else if (line.event === 'tap_ended') return { skipped: typeof line.skipped === 'number' ? line.skipped : 0 };
      else events.onLine(line, text);
      if (signal.aborted) return { skipped: 0 };
    }
  } catch (error) {
    if (signal.aborted) return { skipped: 0 };
    throw isReset(error) ? new Error(BROKE_OFF) : error;
  } finally {
    signal.removeEventListener('abort', leave);
    response.destroy();
  }
  if (signal.aborted) return { skipped: 0 };
  throw new Error(BROKE_OFF);
}

const BROKE_OFF = 'the tap broke off: the sidecar, or the way to it (the port-forward), is gone; start it again';

/** The connection ended within the answer. */
function isReset(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNRESET';
}
