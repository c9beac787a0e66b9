import type { CommandIo } from '../command.ts';
import { type BatchLine, linesOf } from '../offline/read-lines.ts';
import { openLog } from './open-log.ts';
import { identityOf, type PassedOver, type RecordedRequest, readRecordedLine } from './recorded-line.ts';
import type { ReplayTally } from './replay-tally.ts';
import type { Replayer } from './replayer.ts';

/** From when on, and how often, it is told how far it got. */
const PROGRESS_MS = 1_000;
/** Lines between two looks at the clock. */
const PROGRESS_LINES = 1_000;
const MEBIBYTE = 1024 * 1024;

export interface Replaying {
  readonly replayer: Replayer;
  readonly tally: ReplayTally;
  /** Lines of others are passed over; undefined: none are. */
  readonly namespace: string | undefined;
  /** Monotonic; default: performance.now. */
  readonly nowMs?: () => number;
}

/** Decides each line of a log anew; resolves when all were. A log that breaks off is told, and what was read of it counts. */
export async function replayLog(file: string, replaying: Replaying, io: CommandIo): Promise<void> {
  const { replayer, tally, namespace, nowMs = () => performance.now() } = replaying;
  const log = openLog(file);
  let toldAt = nowMs();
  const tell = () => {
    const now = nowMs();
    if (now - toldAt < PROGRESS_MS) return;
    toldAt = now;
    io.stderr(`lateral replay: ${file}: ${tally.lines} lines, ${Math.round(log.bytes() / MEBIBYTE)} MiB so far\n`);
  };
  try {
    for await (const line of linesOf(log.chunks)) {
      const recorded = readLine(line, namespace);
      if (typeof recorded === 'string') tally.passOver(recorded);
      else tally.add(recorded, replayer.compare(recorded));
      if (tally.lines % PROGRESS_LINES === 0) tell();
    }
  } catch (error) {
    if (!isOfGzip(error)) throw error;
    tally.passOver('cut_off');
    io.stderr(`lateral replay: ${file}: the gzip stream breaks off (${error.message}); what came before counts\n`);
  }
}

function readLine({ text, fault, isEnded }: BatchLine, namespace: string | undefined): RecordedRequest | PassedOver {
  if (fault === 'too_long') return fault;
  const recorded = text === undefined ? 'malformed' : readRecordedLine(text);
  if (recorded === 'malformed' && !isEnded) return 'cut_off';
  if (typeof recorded === 'string' || namespace === undefined) return recorded;
  const destination = identityOf(recorded.destination);
  return destination !== undefined && destination.namespace !== namespace ? 'other_workload' : recorded;
}

/** Errors of node:zlib: Z_BUF_ERROR of one that ends too early, Z_DATA_ERROR of one that is damaged. */
function isOfGzip(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}
