import { median, ordersOf } from './orders.ts';
import { ORDERS_PATH, type OrdersSidecar, withOrdersApp } from './orders-sidecar.ts';
import { cpuSeconds } from './process-figures.ts';

/**
 * `node scripts/bench/validated-hop.ts`: processor time of a callee's sidecar a request, without and with a policy that holds each body
 * against its schema, of two sidecars that take turns in one run. The caller speaks mutual TLS to them, the app reads the body.
 */
const BODIES = [1_000, 64_000] as const;
const CONNECTIONS = 8;
const ROUNDS = 7;
const ROUND_MS = 4_000;
/** What issue and contract allow validation to add, in microseconds. */
const LIMITS_US: { readonly [bytes: number]: number } = { 1000: 15, 64000: 700 };

await withOrdersApp(CONNECTIONS, async (start) => {
  const [without, held] = [await start('without'), await start('held')];
  for (const bytes of BODIES) {
    const body = ordersOf(bytes);
    for (const sidecar of [without, held]) await microseconds(sidecar, body);
    const figures: { readonly without: number[]; readonly held: number[] } = { without: [], held: [] };
    for (let round = 0; round < ROUNDS; round++) {
      figures.without.push(await microseconds(without, body));
      figures.held.push(await microseconds(held, body));
    }
    const added = figures.held.map((one, round) => one - (figures.without[round] ?? Number.NaN));
    process.stdout.write(
      `body of ${String(body.length).padStart(5)} bytes: ${median(figures.without).toFixed(0)} us without, ${median(figures.held).toFixed(0)} us held against its schema; ` +
        `added ${median(added).toFixed(1)} us (${added.map((one) => one.toFixed(0)).join(', ')}), the limit is ${LIMITS_US[bytes]}\n`,
    );
  }
});

/** Processor time a request; the bodies are sent by as many callers as there are connections. */
async function microseconds({ pid, pool }: OrdersSidecar, body: Buffer): Promise<number> {
  const before = cpuSeconds(pid);
  const endsAtMs = Date.now() + ROUND_MS;
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
