import { runInSlices } from '#files/run-in-slices.ts';
import type { JsonObject } from '../injection/json-object.ts';
import { objectAt, textAt } from '../injection/json-object.ts';
import type { ClusterView } from '../kubernetes/resources/cluster-view.ts';
import { judgementOf, judgeObject, shownName } from '../kubernetes/resources/judge-object.ts';
import { isTooDeep } from '../kubernetes/resources/object-document.ts';
import { JudgeInWorker, TooLargeToJudge } from './judge-in-worker.ts';
import { ReviewQueue, WORKER_BUDGET } from './review-queue.ts';
import type { Judgement } from './validate-review.ts';

/** Objects of at most so many characters of JSON are judged in the main thread, in slices; one at a time, as they are asked. */
export const MAX_LIGHT_CHARACTERS = 8 * 1024;
/** Kinds whose judging reads whole API descriptions, however short the object is. */
const HEAVY_KINDS: ReadonlySet<unknown> = new Set(['APISchema', 'APIValidationPolicy']);

export interface ObjectJudge {
  /** `address`: who asks, and whose time it takes. */
  judge(object: JsonObject, address: string): Judgement | Promise<Judgement>;
  close(): Promise<void>;
}

/** Judges objects as `lateral check` would, in the cluster as it is, without holding up the main thread. */
export function createObjectJudge(view: ClusterView): ObjectJudge {
  const worker = new JudgeInWorker(view);
  const queue = new ReviewQueue(WORKER_BUDGET);
  const judgeHeavy = async (object: JsonObject, text: string, address: string): Promise<Judgement> => {
    const namespace = textAt(objectAt(object, 'metadata'), 'namespace') ?? '';
    try {
      return await queue.run(address, text.length, () => worker.judge(text, namespace));
    } catch (error) {
      if (!(error instanceof TooLargeToJudge)) throw error;
      const place = { file: shownName(object), line: 1, column: 1 };
      return {
        errors: [{ ...place, severity: 'error', code: 'too_large_to_judge', message: error.message }],
        warnings: [],
      };
    }
  };
  return {
    judge: (object, address) => {
      if (isTooDeep(object)) return judgeObject(object, view); // refused at once, and no JSON can be made of it
      const text = JSON.stringify(object);
      const isLight = text.length <= MAX_LIGHT_CHARACTERS && !HEAVY_KINDS.has(object['kind']);
      return isLight ? runInSlices(judgementOf(object, view)) : judgeHeavy(object, text, address);
    },
    close: () => worker.close(),
  };
}
