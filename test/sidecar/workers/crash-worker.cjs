// Given to a sidecar by NODE_OPTIONS: when CRASH_FILE appears, the first worker that sees it takes it away and fails.
const { isMainThread, workerData } = require('node:worker_threads');
const { unlinkSync } = require('node:fs');

const CHECK_INTERVAL_MS = 20;

if (!isMainThread && workerData?.kind === 'traffic-worker') {
  setInterval(() => {
    try {
      unlinkSync(process.env.CRASH_FILE);
    } catch {
      return; // not there
    }
    throw new Error('made to crash');
  }, CHECK_INTERVAL_MS);
}
