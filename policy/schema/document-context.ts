import type { Problem } from '../problem.ts';
import type { YamlDocument } from '../yaml/read-yaml.ts';
import type { Path, ReadCode, ReadContext } from './schema.ts';

/** A context that reports each problem where it stands in the file. */
export function documentContext(file: string, document: YamlDocument, problems: Problem[]): ReadContext {
  const report = (severity: Problem['severity']) => (path: Path, code: ReadCode, message: string, at?: 'key') => {
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
