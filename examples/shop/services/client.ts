/** A client that only waits: calls are made from its container by `kubectl exec`. */
const idle = setInterval(() => {}, 3_600_000);
process.once('SIGTERM', () => clearInterval(idle));
process.stdout.write(`${JSON.stringify({ event: 'ready', service: 'client' })}\n`);
