import { parseDuration } from '#policy/schema/duration.ts';
import { UsageError } from './command.ts';

/** Reads `1h`, `90s`; `option` is named where it is no duration. */
export function durationMs(option: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) {
    throw new UsageError(`${option} ${text} is not a duration; write a number and s, m, h or d, e.g. 1h`);
  }
  return ms;
}
