import { MAX_KEPT_DECISIONS } from '#control-plane/observation/observation-log.ts';
import { MAX_RING_DECISIONS } from '#sidecar/telemetry/decision-ring.ts';
import type { OperationsSource } from './operations-source.ts';

/** Why a decision may not be kept where it was looked for, and where to look then. */
export async function explainAbsence(id: string, sources: readonly OperationsSource[]): Promise<string> {
  const kept = await Promise.all(sources.map((source) => source.decisions('', MAX_KEPT_DECISIONS).catch(() => [])));
  const all = kept.flat();
  const oldestMs = Math.min(...all.map(({ timeMs }) => timeMs));
  const range =
    all.length === 0
      ? 'nothing is kept there'
      : `the oldest of ${all.length} is of ${new Date(oldestMs).toISOString()}`;
  return `decision ${id} is not kept at ${sources.map(({ name }) => name).join(', ')} (${range}). It may be that
- the request was allowed: only what was refused, or would have been (audit), is kept; the access log has all
- it is too old: a control plane keeps the last ${MAX_KEPT_DECISIONS} since its start, a sidecar the last ${MAX_RING_DECISIONS}
- it is under a second old: sidecars report once a second; ask again
- its sidecar has no connection to this control plane, or dropped it under load: ask it with --sidecar PORT
The access log of the sidecar that decided has it: look for "decisionId":"${id}".
`;
}
