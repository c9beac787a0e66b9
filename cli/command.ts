/** Where a command writes; tests pass their own. */
export interface CommandIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** One subcommand of `lateral`. */
export interface Command {
  readonly name: string;
  /** One line for `lateral --help`. */
  readonly summary: string;
  /** What `lateral NAME --help` prints: usage, options with defaults, an example that works. */
  readonly help: string;
  /**
   * Runs with the arguments after the command's name; resolves to the exit code (0 done, 1 it found what it
   * looks for). Throws `UsageError` for wrong usage (exit 2); any other error is printed in one line (exit 1).
   */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

/** Wrong usage: printed in one line with a pointer to --help; exit code 2. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
