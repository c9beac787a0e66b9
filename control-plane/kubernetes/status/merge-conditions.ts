import { isRecord } from '#policy/schema/schema.ts';
import type { Condition } from './conditions.ts';

/**
 * The conditions that stand there, with the wanted ones in their places: those of `own` types that are not wanted go, those of
 * others stay. The time of the last change is that of the last other `status`.
 */
export function mergeConditions(
  standing: unknown,
  wanted: readonly Condition[],
  own: readonly string[],
  nowIso: string,
): readonly unknown[] {
  const before: readonly unknown[] = Array.isArray(standing) ? standing : [];
  const missing = new Map(wanted.map((condition) => [condition.type, condition]));
  const inPlace = before.flatMap((one) => {
    if (!isRecord(one) || typeof one.type !== 'string' || !own.includes(one.type)) return [one];
    const condition = missing.get(one.type);
    missing.delete(one.type);
    if (condition === undefined) return [];
    const { status, lastTransitionTime } = one;
    const isSame = status === condition.status && typeof lastTransitionTime === 'string';
    return [{ ...condition, lastTransitionTime: isSame ? lastTransitionTime : nowIso }];
  });
  return [...inPlace, ...[...missing.values()].map((one) => ({ ...one, lastTransitionTime: nowIso }))];
}
