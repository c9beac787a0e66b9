import { isDeepStrictEqual } from 'node:util';
import type { MeshObject } from '../resources/mesh-objects.ts';
import { type Backoff, type BackoffLimits, createBackoff } from '../watch/backoff.ts';
import type { Condition } from './conditions.ts';
import type { StatusFields } from './status-form.ts';

/** Between two writes that say the same of one object: it was refused, or somebody took away what was written. */
const REPEAT_BACKOFF: BackoffLimits = { firstMs: 2_000, longestMs: 120_000 };

/** One write of a status. */
export interface StatusWrite {
  readonly object: MeshObject;
  readonly fields: StatusFields;
  /** What the fields say. */
  readonly conditions: readonly Condition[];
  /** The version to write over; of any other nothing is known. */
  readonly resourceVersion: string;
}

interface Attempt {
  readonly conditions: readonly Condition[];
  readonly backoff: Backoff;
  readonly notBeforeMs: number;
  /** What it came to; undefined: it was refused. */
  readonly result:
    | { readonly over: string; readonly fields: StatusFields; readonly resourceVersion: string }
    | undefined;
}

/** What was written last of each object: the watch tells of it later, and nothing is to be said twice meanwhile. */
export class WrittenStatuses {
  readonly #attempts = new Map<string, Attempt>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** The status that an object has by now, and its version, as far as we know. */
  standing({ key, metadata, status }: MeshObject): { readonly status: StatusFields; readonly resourceVersion: string } {
    const { result } = this.#attempts.get(key) ?? {};
    if (result === undefined || result.over !== metadata.resourceVersion) {
      return { status, resourceVersion: metadata.resourceVersion };
    }
    return { status: { ...status, ...result.fields }, resourceVersion: result.resourceVersion };
  }

  /** False while the same is to be said again, and its time has not come. */
  mayWrite(key: string, conditions: readonly Condition[]): boolean {
    const attempt = this.#attempts.get(key);
    return (
      attempt === undefined || attempt.notBeforeMs <= this.#now() || !isDeepStrictEqual(attempt.conditions, conditions)
    );
  }

  /** A write that changes nothing leaves the version as it is; it is kept all the same, since some kinds drop fields. */
  wrote(write: StatusWrite, resourceVersion: string): void {
    const { object, fields } = write;
    this.#attempted(write, { over: object.metadata.resourceVersion, fields, resourceVersion });
  }

  refused(write: StatusWrite): void {
    this.#attempted(write, undefined);
  }

  /** Forgets what is not there any more. */
  keep(isThere: (key: string) => boolean): void {
    for (const key of this.#attempts.keys()) if (!isThere(key)) this.#attempts.delete(key);
  }

  #attempted({ object, conditions }: StatusWrite, result: Attempt['result']): void {
    const before = this.#attempts.get(object.key);
    const isRepeated = before !== undefined && isDeepStrictEqual(before.conditions, conditions);
    const backoff = isRepeated ? before.backoff : createBackoff(REPEAT_BACKOFF);
    this.#attempts.set(object.key, { conditions, backoff, notBeforeMs: this.#now() + backoff.next(), result });
  }
}
