import { type ParseArgsConfig, parseArgs } from 'node:util';
import { UsageError } from '../command.ts';

/** Reads a command's options with node's own parser; anything unknown is wrong usage. */
export function parseOptions<const O extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: O,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
