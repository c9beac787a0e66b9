import { plain } from './table.ts';
import type { LogLine } from './tap-sidecar.ts';

/** One line for a terminal: when, where, what came of it, who asked whom for what, how long it took. */
export function showTapLine(line: LogLine, workload: string | undefined): string {
  const { decision, code, method, status, durationMs, policy, decisionId, direction, time } = line;
  const parts = [
    textOr(time, '').slice(11, 23),
    ...(workload === undefined ? [] : [workload]),
    direction === 'outbound' ? 'out' : 'in',
    decision,
    status === 0 ? '-' : status,
    method === null ? 'connection' : `${textOr(method, '')} ${textOr(line.host, '')}${textOr(line.path, '')}`,
    `from ${shortIdentity(textOr(line.source, 'nobody'))}`,
    ...(typeof durationMs === 'number' ? [`${durationMs.toFixed(1)}ms`] : []),
    ...(code === 'allowed' ? [] : [code]),
    ...(policy === undefined ? [] : [`by ${textOr(policy, '')}`]),
    ...(decision === 'allow' ? [] : [`id ${textOr(decisionId, '')}`]),
  ];
  return plain(parts.join(' '));
}

/** `shop/web` of `spiffe://cluster.local/ns/shop/sa/web`; anything else as it is. */
export function shortIdentity(identity: string): string {
  return identity.replace(/^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/, '$1/$2');
}

function textOr(value: unknown, other: string): string {
  return typeof value === 'string' ? value : other;
}
