import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { runInSlices } from '#files/run-in-slices.ts';

/** Kubernetes takes 1 MiB of a ConfigMap, its metadata included. */
export const MAX_PART_BYTES = 900 * 1024;
/** Of a part that is unpacked: far more than what is ever packed. */
const MAX_TEXT_BYTES = 32 * 1024 * 1024;
const FORMAT = 1;
/** Between two looks at the clock. */
const LINES_A_STEP = 200;

const zip = promisify(gzip);
const unzip = promisify(gunzip);

/** What all replicas together know of one rule. Times are milliseconds since the epoch. */
export interface SharedRule {
  /** NAMESPACE/NAME. */
  readonly policy: string;
  readonly key: string;
  readonly matches: number;
  readonly lastMatchedMs: number | undefined;
  readonly sinceMs: number;
}

export interface RulePart {
  readonly observedSinceMs: number;
  readonly rules: readonly SharedRule[];
}

/**
 * As it is stored: lines of JSON, zipped. Of more than MAX_PART_BYTES the last rules are left out; `stored` is the number of those
 * that are not.
 */
export async function packPart(part: RulePart): Promise<{ readonly bytes: Buffer; readonly stored: number }> {
  const lines = await runInSlices(linesOf(part));
  for (let stored = part.rules.length; ; ) {
    const bytes = await zip(lines.slice(0, stored + 1).join('\n'));
    if (bytes.length <= MAX_PART_BYTES) return { bytes, stored };
    stored = Math.floor((stored * 0.95 * MAX_PART_BYTES) / bytes.length);
  }
}

/** Undefined: it is none of ours, or none that can be read. */
export async function unpackPart(bytes: Buffer): Promise<RulePart | undefined> {
  try {
    const text = (await unzip(bytes, { maxOutputLength: MAX_TEXT_BYTES })).toString();
    return await runInSlices(partFrom(text.split('\n')));
  } catch {
    return undefined;
  }
}

function* linesOf({ observedSinceMs, rules }: RulePart): Generator<void, readonly string[]> {
  const lines = [JSON.stringify([FORMAT, observedSinceMs])];
  for (const { policy, key, matches, lastMatchedMs, sinceMs } of rules) {
    if (lines.push(JSON.stringify([policy, key, matches, lastMatchedMs ?? null, sinceMs])) % LINES_A_STEP === 0) yield;
  }
  return lines;
}

/** Throws at a line that is not JSON. */
function* partFrom([head = '', ...lines]: readonly string[]): Generator<void, RulePart | undefined> {
  const [format, observedSinceMs]: readonly unknown[] = JSON.parse(head);
  if (format !== FORMAT || typeof observedSinceMs !== 'number') return undefined;
  const rules: SharedRule[] = [];
  for (const line of lines) {
    const [policy, key, matches, last, sinceMs]: readonly unknown[] = JSON.parse(line);
    if (typeof policy !== 'string' || typeof key !== 'string') return undefined;
    if (typeof matches !== 'number' || typeof sinceMs !== 'number') return undefined;
    const lastMatchedMs = typeof last === 'number' ? last : undefined;
    if (rules.push({ policy, key, matches, lastMatchedMs, sinceMs }) % LINES_A_STEP === 0) yield;
  }
  return { observedSinceMs, rules };
}
