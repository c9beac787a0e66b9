import { isRecord } from '#policy/schema/schema.ts';
import { AUTHORITY_FILE, type AuthorityFile } from './authority-store.ts';
import type { MadeAuthority, Rotation } from './rotation.ts';
import { timeOf } from './state-fields.ts';

const FILES: readonly AuthorityFile[] = ['rootKey', 'root', 'issuingKey', 'chain', 'issuing'];

/** As it is stored: times as text, the next authority by the names of its files. */
export function rotationToJson(rotation: Rotation) {
  const at = (ms: number) => new Date(ms).toISOString();
  const { stage, from, startedMs } = rotation;
  const common = { stage, from, started: at(startedMs) };
  if (rotation.stage === 'trusting') return { ...common, forced: rotation.isForced, next: filesOf(rotation.next) };
  const later = { ...common, promoted: at(rotation.promotedMs), retires: at(rotation.retiresMs) };
  return rotation.stage === 'signing' ? later : { ...later, next: filesOf(rotation.next) };
}

/** Throws where it is not of our making. */
export function rotationFromJson(value: unknown): Rotation {
  if (!isRecord(value) || typeof value.from !== 'string') throw new Error('no rotation');
  const { stage, from } = value;
  const common = { from, startedMs: timeOf(value.started) };
  if (stage === 'trusting') return { ...common, stage, isForced: value.forced === true, next: madeFrom(value.next) };
  if (stage !== 'promoting' && stage !== 'signing') throw new Error(`a rotation in stage ${JSON.stringify(stage)}`);
  const later = { ...common, promotedMs: timeOf(value.promoted), retiresMs: timeOf(value.retires) };
  return stage === 'signing' ? { ...later, stage } : { ...later, stage, next: madeFrom(value.next) };
}

function filesOf(made: MadeAuthority) {
  return Object.fromEntries(FILES.map((file) => [AUTHORITY_FILE[file], made[file]]));
}

function madeFrom(value: unknown): MadeAuthority {
  const text = (file: AuthorityFile): string => {
    const found = isRecord(value) ? value[AUTHORITY_FILE[file]] : undefined;
    if (typeof found === 'string' && found !== '') return found;
    throw new Error(`a rotation whose next authority is without ${AUTHORITY_FILE[file]}`);
  };
  return {
    rootKey: text('rootKey'),
    root: text('root'),
    issuingKey: text('issuingKey'),
    chain: text('chain'),
    issuing: text('issuing'),
  };
}
