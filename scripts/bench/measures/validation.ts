import { median, ordersOf } from '../orders.ts';
import { ORDERS_PATH, type OrdersSidecar, withOrdersApp } from '../orders-sidecar.ts';
import { cpuSeconds } from '../process-figures.ts';
import type { Row } from '../rows.ts';
import type { Table, Tools } from './measure.ts';

const BODIES = [
  { bytes: 1_000, title: 'body of 1 kB' },
  { bytes: 64_000, title: 'body of 64 kB' },
] as const;
const CONNECTIONS = 8;
/** A difference of two figures wants more rounds than a figure. */
const ROUNDS_EACH = 2;

/** Until its code is compiled: before, a few microseconds cannot be told. */
const WARM_SECONDS = 6;

/** By the size of a body. */
export const VALIDATION_TITLES: readonly string[] = BODIES.map(({ title }) => title);

/** What a hop pays for holding a body against its schema: of two callee's sidecars that take turns, one has the policy. Nobody else has the like. */
export const VALIDATION: Table = {
  name: 'validation',
  title:
    'validation: what holding a JSON body against its schema adds to the callee’s sidecar, mutual TLS, 8 connections',
  columns: [
    { figure: 'withoutUs', title: 'us without', digits: 1 },
    { figure: 'heldUs', title: 'us held', digits: 1 },
    { figure: 'addedUs', title: 'us added', digits: 1 },
    { figure: 'leastAddedUs', title: 'least', digits: 1 },
    { figure: 'mostAddedUs', title: 'most', digits: 1 },
  ],
  comparisons: [],
  remark: `Processor time a request; medians of ${ROUNDS_EACH} times as many rounds, and what the rounds differ by.`,
};

/** A row for each size of body. */
export async function measureValidation(
  { processes, options, certificates }: Tools,
  directory: string,
): Promise<Row[]> {
  const rows: Row[] = [];
  const ground = { processes, certificates, directory, connections: CONNECTIONS };
  await withOrdersApp(ground, async (start) => {
    const [without, held] = [await start('without'), await start('held')];
    for (const { bytes, title } of BODIES) {
      const body = ordersOf(bytes);
      const microseconds = (sidecar: OrdersSidecar) => microsecondsEach(sidecar, body, options.seconds);
      for (const sidecar of [without, held])
        await microsecondsEach(sidecar, body, Math.max(WARM_SECONDS, options.seconds));
      const rounds: { withoutUs: number; heldUs: number }[] = [];
      while (rounds.length < options.rounds * ROUNDS_EACH) {
        process.stderr.write(`validation, ${title}, round ${rounds.length + 1} of ${options.rounds * ROUNDS_EACH} …\n`);
        rounds.push({ withoutUs: await microseconds(without), heldUs: await microseconds(held) });
      }
      const added = rounds.map(({ withoutUs, heldUs }) => heldUs - withoutUs);
      const figures = {
        withoutUs: median(rounds.map(({ withoutUs }) => withoutUs)),
        heldUs: median(rounds.map(({ heldUs }) => heldUs)),
        addedUs: median(added),
        leastAddedUs: Math.min(...added),
        mostAddedUs: Math.max(...added),
      };
      rows.push({ measure: VALIDATION.name, load: title, pair: 'lateral', rounds: rounds.length, figures });
    }
  });
  return rows;
}

/** Processor time a request; the bodies are sent by as many callers as there are connections. */
async function microsecondsEach({ pid, pool }: OrdersSidecar, body: Buffer, seconds: number): Promise<number> {
  const before = cpuSeconds(pid);
  const endsAtMs = Date.now() + seconds * 1_000;
  let count = 0;
  const headers = { 'content-type': 'application/json' };
  const caller = async () => {
    while (Date.now() < endsAtMs) {
      const response = await pool.request({ path: ORDERS_PATH, method: 'POST', headers, body });
      await response.body.dump();
      if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, caller));
  return ((cpuSeconds(pid) - before) / count) * 1e6;
}
