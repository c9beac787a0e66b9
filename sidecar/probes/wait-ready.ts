import http from 'node:http';

/** A sidecar that is not ready by then fails the hook: the kubelet starts the pod's container again, with backoff. */
export const WAIT_READY_TIMEOUT_MS = 120_000;
const POLL_INTERVAL_MS = 50;
const ATTEMPT_TIMEOUT_MS = 2_000;

/** Resolves once the sidecar of this pod says at `port` (loopback) that it serves; rejects when it does not in time. */
export async function waitUntilReady(port: number, timeoutMs = WAIT_READY_TIMEOUT_MS): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const said = await askOnce(port);
    if (said === undefined) return;
    if (performance.now() >= deadline) throw new Error(`the sidecar is not ready after ${timeoutMs} ms: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}

/** Undefined: ready; else what it says. */
function askOnce(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path: '/readyz', agent: false, timeout: ATTEMPT_TIMEOUT_MS };
    const request = http.get(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body = (body + chunk).slice(0, 1_024);
      });
      response.once('close', () => resolve(response.statusCode === 200 ? undefined : body.trim()));
    });
    request.once('timeout', () => request.destroy(new Error('no answer')));
    request.once('error', (error) => resolve(error.message));
  });
}
