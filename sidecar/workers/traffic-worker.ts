import { enableCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';

// before the rest is loaded: a start waits for it
enableCompileCache();
const { runTrafficWorker } = await import('./run-traffic-worker.ts');
const { isWorkerSettings } = await import('./messages.ts');

const settings: unknown = workerData;
if (parentPort === null || !isWorkerSettings(settings))
  throw new Error('this program is a thread of `lateral sidecar`');
runTrafficWorker(parentPort, settings);
