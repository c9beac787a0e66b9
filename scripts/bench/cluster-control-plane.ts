// The control plane of cluster-scale.ts and renewal-storm.ts: as in a pod, which needs no kubeconfig and so nothing of the client library.
import { MAX_CONNECTIONS } from '../../control-plane/grpc/grpc-gate.ts';
import { startControlPlane } from '../../control-plane/start-control-plane.ts';

const [api = '', directory = '', port = '0'] = process.argv.slice(2);
const running = await startControlPlane(
  {
    mesh: { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' },
    listen: { address: '127.0.0.1', port: Number(port), connectionsOfAddress: MAX_CONNECTIONS },
    source: { kind: 'kubernetes', clusterDomain: 'cluster.local' },
    authority: { kind: 'directory', directory: `${directory}/ca` },
    meshDefaults: undefined,
    tokenDirectory: undefined,
    statusPort: 0,
    metrics: undefined,
    webhook: undefined,
    injection: undefined,
    hasUnusedInventory: false,
  },
  {
    log: (event, fields) => process.stderr.write(`${event} ${JSON.stringify(fields)}\n`),
    printProblems: (lines) => process.stderr.write(`${lines.join('\n')}\n`),
    apiConnection: { url: new URL(api), options: async () => ({}), forget() {} },
  },
);
process.stdout.write(`${JSON.stringify({ address: running.address })}\n`);
process.once('SIGTERM', () => void running.close().then(() => process.exit(0)));
process.on('SIGUSR2', () => {
  globalThis.gc?.();
  process.stderr.write(`memory ${JSON.stringify(process.memoryUsage())}\n`);
});
