import { CODES, type CodeEntry } from '#policy/error/codes.ts';
import type { DecisionFacts } from './facts.ts';
import { plain } from './table.ts';

/** One line: when, what, whom. */
export function summaryOf(decision: DecisionFacts): string {
  const { timeMs, decisionId, decision: verdict, code, source, policy, sidecar } = decision;
  const by = policy === '' ? '' : ` by ${policy}`;
  const from = source === '' ? '' : ` from ${source}`;
  const line = `${new Date(timeMs).toISOString()} ${decisionId} ${verdict} ${code} ${requestOf(decision)}${from}${by} at ${sidecar}`;
  return plain(line);
}

/** All that is known of it, and what to do; many lines. */
export function explainDecision(decision: DecisionFacts): string {
  const { timeMs, decisionId, code, source, destination, policy, rule, reason, traceId } = decision;
  const entry = entryOf(code);
  const lines: [string, string][] = [
    ['decision', `${decisionId} at ${new Date(timeMs).toISOString()}`],
    ['result', resultOf(decision)],
    ['request', requestOf(decision)],
    ['from', source === '' ? 'a caller without a proven identity' : source],
    ['to', destination === '' ? 'not known: it was refused before that' : destination],
    ['decided by', deciderOf(decision)],
    ['policy', policy === '' ? 'none' : rule < 0 ? policy : `${policy}, rule ${rule} (counted from 0)`],
    ['reason', reason === '' ? 'none given' : reason],
    ['meaning', entry?.meaning ?? 'a code of another version; see its docs/errors.md'],
    ['what to do', entry?.remedy ?? 'see docs/errors.md of the version of that sidecar'],
    ['trace', traceOf(traceId)],
  ];
  return lines.map(([name, value]) => `${name.padEnd(11)} ${plain(value)}\n`).join('');
}

function resultOf({ decision, code, status }: DecisionFacts): string {
  if (decision === 'audit') return `let through with status ${status}; enforced, it would have been refused: ${code}`;
  const answer = status === 0 ? 'connection closed without an answer' : `status ${status}`;
  return `refused: ${code} (${answer})`;
}

function requestOf({ method, host, path, direction }: DecisionFacts): string {
  if (method === '') return `a connection (${direction})`;
  return `${method} ${host}${path} (${direction})`;
}

function deciderOf({ sidecar, reporter }: DecisionFacts): string {
  const identity = reporter === '' ? '' : ` (${reporter})`;
  return `the sidecar of ${sidecar}${identity}`;
}

function traceOf(traceId: string): string {
  if (traceId === '') return 'none: it was no HTTP request';
  return `${traceId}; if it was sampled, its spans are in the tracing backend (Jaeger: /trace/${traceId})`;
}

function entryOf(code: string): CodeEntry | undefined {
  const codes: { readonly [code: string]: CodeEntry } = CODES;
  return Object.hasOwn(codes, code) ? codes[code] : undefined;
}
