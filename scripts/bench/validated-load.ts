import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeCertificates } from './certificates.ts';
import { ordersOf } from './orders.ts';
import { ORDERS_PATH, type OrdersSidecar, withOrdersApp } from './orders-sidecar.ts';
import { Processes } from './processes.ts';

/**
 * `node scripts/bench/validated-load.ts [SECONDS]`: resident memory of a callee's sidecar that holds bodies against their schema, of
 * 1,000 connections at once, for 300 s unless told. Prints it every 20 s, with the answers so far, and once more 45 s after the last.
 */
const CONNECTIONS = 1_000;
const SECONDS = Number(process.argv[2] ?? 300);
const PRINT_MS = 20_000;
const REST_MS = 45_000;
/** Ten of sixteen are of 1 kB, one of 300 kB is judged by the thread for such, three are refused. */
const BODIES = [
  ...Array.from({ length: 10 }, () => ordersOf(1_000)),
  ...[ordersOf(64_000), ordersOf(64_000), ordersOf(300_000)],
  ...['{"items":[{"sku":"UPPER","quantity":0}]}', '{"items":[{"sku":"UPPER","quantity":0}]}', '{"items":'].map((text) =>
    Buffer.from(text),
  ),
];

const directory = await mkdtemp(join(tmpdir(), 'validated-load-'));
const processes = new Processes(directory);
try {
  await makeCertificates(directory);
  await withOrdersApp({ processes, certificates: directory, directory, connections: CONNECTIONS }, load);
} finally {
  await rm(directory, { recursive: true });
}

async function load(start: (name: 'held') => Promise<OrdersSidecar>): Promise<void> {
  const held = await start('held');
  const answers = new Map<string, number>();
  const endsAtMs = Date.now() + SECONDS * 1_000;
  const printing = setInterval(() => print(held, answers), PRINT_MS);
  const caller = async (_: unknown, index: number) => {
    for (let turn = index; Date.now() < endsAtMs; turn++) {
      const answer = await send(held, BODIES[turn % BODIES.length] ?? BODIES[0]);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, caller));
  clearInterval(printing);
  await sleep(REST_MS);
  await print(held, answers);
}

/** The status, or why there was none: a machine that is too busy has connections that are late to speak. */
async function send({ pool }: OrdersSidecar, body: Buffer = Buffer.alloc(0)): Promise<string> {
  try {
    const headers = { 'content-type': 'application/json' };
    const response = await pool.request({ path: ORDERS_PATH, method: 'POST', headers, body });
    await response.body.dump();
    return String(response.statusCode);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function print({ pid }: OrdersSidecar, answers: ReadonlyMap<string, number>): Promise<void> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const resident = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  const counts = [...answers].sort().map(([code, count]) => `${count} of ${code}`);
  process.stdout.write(`${resident.toFixed(0)} MB, answers: ${counts.join(', ')}\n`);
}
