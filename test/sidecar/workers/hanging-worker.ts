import { parentPort } from 'node:worker_threads';

/** A worker of a test's own: its event loop never comes back. */
parentPort?.once('message', () => {
  for (;;);
});
