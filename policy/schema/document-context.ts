import type { Problem } from '../problem.ts';
import type { YamlDocument } from '../yaml/read-yaml.ts';
import type { Path, ReadCode, ReadContext } from './schema.ts';

/** Problems reported for one resource or configuration; finding a position takes time, and nobody reads more. */
export const MAX_DOCUMENT_PROBLEMS = 100;

/** A context that reports each problem where it stands in the file, up to MAX_DOCUMENT_PROBLEMS of each severity. */
export function documentContext(file: string, document: YamlDocument, problems: Problem[]): ReadContext {
  const counts = { error: 0, warning: 0 };
  const report = (severity: Problem['severity']) => (path: Path, code: ReadCode, message: string, at?: 'key') => {
    counts[severity] += 1;
    if (counts[severity] > MAX_DOCUMENT_PROBLEMS) {
      if (counts[severity] > MAX_DOCUMENT_PROBLEMS + 1) return;
      const more = `more than ${MAX_DOCUMENT_PROBLEMS} problems; the rest is left out`;
      problems.push({ file, ...document.position([]), severity, code: 'too_many_problems', message: more });
      return;
    }
    problems.push({ file, ...document.position(path, at), severity, code, message: withPath(path, message, at) });
  };
  return { fail: report('error'), warn: report('warning') };
}

/** A context for documents without positions: one line an error; warnings are left out. */
export function textContext(reasons: string[], name: string): ReadContext {
  return {
    fail: (path, _code, message, at) => reasons.push(`${name}: ${withPath(path, message, at)}`),
    warn: () => {},
  };
}

/** `spec.rules[0].to: must not be empty`. A message about a key names it, so that its own step is left out. */
function withPath(path: Path, message: string, at: 'key' | undefined): string {
  const shown = at === 'key' ? path.slice(0, -1) : path;
  return shown.length === 0 ? message : `${formatPath(shown)}: ${message}`;
}

export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}
