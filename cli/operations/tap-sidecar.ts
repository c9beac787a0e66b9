import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { type TapRequest, tapQuery } from '#sidecar/telemetry/tap-request.ts';
import type { Dial } from './dial.ts';
import { recordOf, textOf } from './facts.ts';
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

/** Opens the stream of a tap by the admin port of a sidecar. Rejects with a sentence. */
export async function openTap(dial: Dial, request: TapRequest): Promise<Readable> {
  const response = await openPage(dial, `/tap?${tapQuery(request)}`);
  if (response.statusCode === 200) return response;
  const why = (await textOfAnswer(response)).trim().slice(0, 200);
  const hint = response.statusCode === 404 ? '; is the sidecar of an older version?' : '';
  throw new Error(`${response.statusCode} ${why}${hint}`);
}

/** Reads the stream of a tap until it ends, or the signal is aborted. Rejects with a sentence when it breaks off. */
export async function readTap(stream: Readable, events: TapEvents, signal: AbortSignal): Promise<TapEnd> {
  const lines = createInterface({ input: stream });
  const leave = () => {
    lines.close(); // what it reads from may be gone without a word
    stream.destroy();
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    for await (const text of lines) {
      const line = recordOf(JSON.parse(text));
      if (line.event === 'tap_began') events.onBegin();
      else if (line.event === 'tap_ended') return { skipped: typeof line.skipped === 'number' ? line.skipped : 0 };
      else if (line.event === 'tap_refused') throw new Error(textOf(line.reason));
      else events.onLine(line, text);
      if (signal.aborted) return { skipped: 0 };
    }
  } catch (error) {
    if (signal.aborted) return { skipped: 0 };
    throw isReset(error) ? new Error(BROKE_OFF) : error;
  } finally {
    signal.removeEventListener('abort', leave);
    stream.destroy();
  }
  if (signal.aborted) return { skipped: 0 };
  throw new Error(BROKE_OFF);
}

const BROKE_OFF = 'the tap broke off: the sidecar, or the way to it (the port-forward), is gone; start it again';

/** The connection ended within the answer. */
function isReset(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNRESET';
}
