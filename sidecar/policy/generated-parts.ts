import type { ApiOperation, Unit } from '#policy/validation/api-model.ts';
import type { GeneratedValidator } from '#policy/validation/generate-validators.ts';

/** Source in one part: taking it over is well under a millisecond. */
const PART_CHARACTERS = 256 * 1024;
/** Operations in one part. */
const PART_OPERATIONS = 32;

/** A piece of what comes of a document: a message of megabytes would hold requests up while it is read. */
export interface GeneratedPart {
  readonly kind: 'part';
  readonly operations: readonly ApiOperation[];
  /** By index. */
  readonly units: readonly (readonly [index: number, unit: Unit])[];
  /** Told with the last part. */
  readonly end: Pick<GeneratedValidator, 'problems' | 'errors'> | undefined;
}

/** What a document amounts to, in parts, in their order. */
export function* partsOf({ operations, units, problems, errors }: GeneratedValidator): Generator<GeneratedPart> {
  for (let start = 0; start < operations.length; start += PART_OPERATIONS) {
    const some = operations.slice(start, start + PART_OPERATIONS);
    yield { kind: 'part', operations: some, units: [], end: undefined };
  }
  // Schemas that are evaluated are shared among units, and would stand once in each part.
  const rest: [number, Unit][] = [];
  let some: [number, Unit][] = [];
  let characters = 0;
  for (const [index, unit] of units.entries()) {
    if (typeof unit !== 'string') {
      rest.push([index, unit]);
      continue;
    }
    some.push([index, unit]);
    characters += unit.length;
    if (characters < PART_CHARACTERS) continue;
    yield { kind: 'part', operations: [], units: some, end: undefined };
    some = [];
    characters = 0;
  }
  yield { kind: 'part', operations: [], units: [...some, ...rest], end: { problems, errors } };
}

/** Puts the parts of one document after another together. */
export class GeneratedParts {
  #operations: ApiOperation[] = [];
  #units: Unit[] = [];

  /** A document, when its last part has come. */
  add({ operations, units, end }: GeneratedPart): GeneratedValidator | undefined {
    this.#operations.push(...operations);
    for (const [index, unit] of units) this.#units[index] = unit;
    if (end === undefined) return undefined;
    const whole = { operations: this.#operations, units: this.#units, ...end };
    this.#operations = [];
    this.#units = [];
    return whole;
  }
}

/** Both sides are of one program: the kind tells the rest. */
export function isPart(message: unknown): message is GeneratedPart {
  return typeof message === 'object' && message !== null && 'kind' in message && message.kind === 'part';
}
