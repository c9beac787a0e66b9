import { readFile } from 'node:fs/promises';
import t from 'tap';
import { connectionLimit, DESCRIPTOR_SHARE, MAX_CONNECTIONS } from '#sidecar/pressure/connection-budget.ts';
import { CONTAINER_SHARE, MACHINE_SHARE, memoryLimits, processPressure } from '#sidecar/pressure/process-pressure.ts';

const GB = 1_073_741_824;

t.test('the memory limit is a share of the container’s, else of the machine’s', async (t) => {
  t.equal(memoryLimits(GB, 8 * GB, 1).memoryBytes, GB * CONTAINER_SHARE);
  t.equal(memoryLimits(0, 8 * GB, 1).memoryBytes, 8 * GB * MACHINE_SHARE, 'no limit is known');
  t.equal(memoryLimits(2 ** 64, 8 * GB, 1).memoryBytes, 8 * GB * MACHINE_SHARE, 'how libuv writes “none”');
  t.ok(processPressure.limits.memoryBytes > 50_000_000);
  t.ok(processPressure.limits.heapBytes > 50_000_000);
});

t.test(
  'the connection limit leaves file descriptors for the other side',
  { skip: process.platform !== 'linux' },
  async (t) => {
    const limits = await readFile('/proc/self/limits', 'latin1');
    const files = Number(/Max open files +(\d+)/.exec(limits)?.[1]);
    t.equal(connectionLimit(limits), Math.min(MAX_CONNECTIONS, Math.floor(files * DESCRIPTOR_SHARE)));
    t.equal(connectionLimit('Max open files            1000                 4096                 files'), 450);
    t.equal(connectionLimit(undefined), MAX_CONNECTIONS);
  },
);
