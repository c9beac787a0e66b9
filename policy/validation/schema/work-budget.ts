/**
 * Work that the judgement of one request may take, in units of about 10 ns: a schema can make validation
 * cost more than the size of what is validated (alternatives nested in a recursive schema, wide patterns), and
 * a sidecar must not stand still. About 0.3 s at worst; ordinary bodies stay far below.
 */
export const MAX_VALIDATION_WORK = 30_000_000;

/** Work that a judgement may take where requests are served: about 5 ms. What takes more is judged beside (see BodyTask). */
export const MAX_WORK_HERE = 500_000;

/** Thrown out of a validator when the work is used up: the value is refused, for it was not found valid. */
export class WorkExceeded extends Error {
  constructor(limit: number) {
    super(`the value takes more than ${limit} steps to check`);
    this.name = 'WorkExceeded';
  }
}

// One counter will do: a judgement never yields.
let limit = MAX_VALIDATION_WORK;
let remaining = limit;
let countsMaking = false;

/** Begins a judgement that may take so many units. */
export function renewWork(maxWork = MAX_VALIDATION_WORK): void {
  limit = maxWork;
  remaining = maxWork;
  countsMaking = false;
}

/**
 * Begins the judgement of a body. With less than MAX_VALIDATION_WORK what takes more is judged beside instead: making validators counts
 * too then, which is no fault of the body but holds others up as well.
 */
export function renewBodyWork(maxWork: number): void {
  renewWork(maxWork);
  countsMaking = maxWork < MAX_VALIDATION_WORK;
}

/** What making functions of a character of source costs. */
const MAKING_WORK = 4;

/** Told when a unit of so many characters was made into functions: what is made stays made, whether the judgement ends or not. */
export function countMaking(characters: number): void {
  if (countsMaking) spendWork(characters * MAKING_WORK);
}

/** True: the judgement that was begun last came to its bound. */
export function isWorkUsedUp(): boolean {
  return remaining < 0;
}

/** Also called by generated validators, ahead of what it is spent for. */
export function spendWork(units: number): void {
  if (!takeWork(units)) throw new WorkExceeded(limit);
}

/** The same without a throw; false: it is used up. */
export function takeWork(units: number): boolean {
  remaining -= units;
  return remaining >= 0;
}

/** What trying an item of `contains` costs: mostly memory, for its error is kept. */
const ITEM_WORK = 100;

/** Called by generated validators for each item that `contains` tries. */
export function countItem(): void {
  spendWork(ITEM_WORK);
}
