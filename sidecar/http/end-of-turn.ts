/** Something with output that leaves once a turn of the event loop. */
export interface Flushable {
  flush(): unknown;
}

let waiting: Flushable[] = [];

/** Calls `flush` when all that this turn has read is dealt with, so that what it wrote leaves in one piece. */
export function flushAtEndOfTurn(flushable: Flushable): void {
  if (waiting.push(flushable) === 1) setImmediate(flushAll);
}

function flushAll(): void {
  const flushables = waiting;
  waiting = [];
  for (const each of flushables) each.flush();
}
