/** A fault or doubt found in a resource, where it stands. Printed as `file:line:column: severity code message`. */
export interface Problem {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly message: string;
}

export function formatProblem(problem: Problem): string {
  const { file, line, column, severity, code, message } = problem;
  return `${file}:${line}:${column}: ${severity} ${code} ${message}`;
}

/** By file, then position: the order in which a reader mends them. */
export function compareProblems(left: Problem, right: Problem): number {
  if (left.file !== right.file) return left.file < right.file ? -1 : 1;
  return left.line - right.line || left.column - right.column;
}
