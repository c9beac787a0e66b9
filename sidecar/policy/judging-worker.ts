import { enableCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { Unit } from '#policy/validation/api-model.ts';
import { isToJudge, type ToJudge, type Verdict } from './judge-messages.ts';
import { epochNow, UnderWay } from './under-way.ts';

enableCompileCache();
const { runBodyTask } = await import('#policy/validation/judge/body-task.ts');
const { hasRules, loadRules } = await import('#policy/validation/protobuf/judge-message.ts');
const { DocumentValidators } = await import('#policy/validation/instantiate-validators.ts');

const underWay = new UnderWay(workerData);
type Asked = Extract<ToJudge, { kind: 'judge' }>;

let loading: Promise<void> | undefined;

/** Sources by document, and what was made of them when a body first asked for it. */
const sources = new Map<number, Unit[]>();
const instantiated = new Map<number, InstanceType<typeof DocumentValidators>>();

/** Judges the bodies it is sent, apart from traffic, and posts a `Verdict` for each. */
parentPort?.on('message', (message: unknown) => {
  if (!isToJudge(message)) return;
  if (message.kind === 'judge') {
    if (loading === undefined) answer(message);
    else loading.then(() => answer(message));
    return;
  }
  if (message.units.some(hasRules)) loading ??= loadRules();
  sources.set(message.document, [...(sources.get(message.document) ?? []), ...message.units]);
});

function answer(message: Asked): void {
  if (message.until < epochNow()) return; // it was refused meanwhile
  underWay.begin(message.id);
  parentPort?.postMessage(judge(message));
  underWay.end();
}

function judge({ id, document, body, content, settings, boundary }: Asked): Verdict {
  try {
    const units = instantiated.get(document) ?? new DocumentValidators(sources.get(document) ?? []);
    instantiated.set(document, units);
    sources.delete(document);
    return { id, fault: runBodyTask(Buffer.from(body), { content, settings, boundary }, units), error: undefined };
  } catch (error) {
    return { id, fault: undefined, error: error instanceof Error ? error.message : String(error) };
  }
}
