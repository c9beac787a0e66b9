import type { RefusalDetail } from '../../error/refusal.ts';

/** What becomes of a text that a pattern is asked of which cannot be enforced: refused, or taken and told. */
export type Unenforceable = 'Deny' | 'Report';

// One state will do, as with work: a judgement never yields.
let isReporting = false;
let assumed = true;
let met: Error | undefined;
let reports: RefusalDetail[] = [];

/** Begins to judge a head or a body. */
export function beginJudgement(unenforceable: Unenforceable): void {
  isReporting = unenforceable === 'Report';
  reports = [];
}

/** What passed since the judgement began although a pattern that it was asked to match cannot be enforced. */
export function takeReports(): readonly RefusalDetail[] {
  const taken = reports;
  reports = [];
  return taken;
}

/** The answer of a pattern that cannot be enforced; throws the error where such texts are refused. */
export function answerUnenforced(error: Error): boolean {
  if (!isReporting) throw error;
  met = error;
  return assumed;
}

/** What is told of a value that came to a pattern which cannot be enforced. */
export function unenforced({ message }: Error, place: RefusalDetail['in'], pointer: string): RefusalDetail {
  return { in: place, pointer, keyword: 'pattern', message };
}

/**
 * Asks a validator. What a pattern that cannot be enforced says is not known: a value counts as valid where it is so with a match or
 * without one (`not` turns them round), and is told of then.
 */
export function asked(
  validator: (value: unknown) => boolean,
  value: unknown,
  place: RefusalDetail['in'],
  pointer: string,
): boolean {
  assumed = true;
  met = undefined;
  let isValid = validator(value);
  if (met === undefined) return isValid;
  if (!isValid) {
    assumed = false;
    isValid = validator(value);
  }
  if (isValid) reports.push(unenforced(met, place, pointer));
  return isValid;
}
