import type { PlaintextCallerFacts, PlaintextFacts } from '#control-plane/operations/vitals-facts.ts';
import { MAX_PLAINTEXT_CALLERS } from '#proto/vitals-limits.ts';
import type { CommandIo } from '../command.ts';
import type { KnownProxy } from './facts.ts';
import { age, plain } from './table.ts';

/** Callers are remembered for a day. */
const DAY_MS = 86_400_000;

/** `2 callers`; `none for 1d`, or for less where the sidecar has not watched for a day yet; `-`: not known. */
export function plaintextState(plaintext: PlaintextFacts | null, nowMs: number): string {
  if (plaintext === null) return '-';
  const { callers, since } = plaintext;
  if (callers.length >= MAX_PLAINTEXT_CALLERS) return `${MAX_PLAINTEXT_CALLERS} callers or more`;
  if (callers.length > 0) return callers.length === 1 ? '1 caller' : `${callers.length} callers`;
  if (since === null) return '-';
  return `none for ${nowMs - Date.parse(since) >= DAY_MS ? '1d' : age(since, nowMs)}`;
}

/** Below the table: of each workload that was called in plaintext within a day, who called it. */
export function showPlaintext(proxies: readonly KnownProxy[], nowMs: number, io: CommandIo): void {
  for (const { workload, plaintext } of proxies) {
    if (plaintext === null || plaintext.callers.length === 0) continue;
    io.stdout(`\n${plain(workload.namespace)}/${plain(workload.name)} was called in plaintext; STRICT would refuse:\n`);
    for (const caller of plaintext.callers) io.stdout(`  ${plain(callerLine(caller, nowMs))}\n`);
  }
}

function callerLine({ address, port, connections, requests, lastSeen, owner }: PlaintextCallerFacts, nowMs: number) {
  const who = owner === null ? address : `${owner.namespace}/${owner.name} (${owner.serviceAccount}, ${address})`;
  const what = [counted(connections, 'connection'), ...(requests === 0 ? [] : [counted(requests, 'request')])];
  return `${who} to port ${port}: ${what.join(', ')}, the last ${age(lastSeen, nowMs)} ago`;
}

function counted(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}
