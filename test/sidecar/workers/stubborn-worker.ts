import { parentPort, threadName } from 'node:worker_threads';
import { type FromWorker, isToWorker, type WorkerAnswer, type WorkerRequest } from '#sidecar/workers/messages.ts';

/** A worker of a test's own: it serves nothing, and the second of them refuses each version whose name begins with "bad". */
let commits = 0;
let discards = 0;
let renewals = 0;

function answerTo(request: WorkerRequest): WorkerAnswer {
  switch (request.kind) {
    case 'prepare':
      if (request.snapshot.version.startsWith('bad') && threadName === 'traffic-2') {
        return { kind: 'failed', reasons: [`${request.snapshot.version} is not for me`] };
      }
      return { kind: 'prepared', defaults: DEFAULTS };
    case 'commit':
      commits++;
      return { kind: 'done' };
    case 'metrics':
      return { kind: 'metrics', metrics: countsOf({ commits, discards, renewals }), plaintextCallers: [] };
    default:
      return { kind: 'done' };
  }
}

const DEFAULTS = {
  authorizationDefault: 'Deny',
  denialAlerts: { refusals: 20, distinctPaths: 20 },
  mode: 'Enforce',
  mtlsMode: 'STRICT',
  minTlsVersion: 'TLSv1.3',
  outbound: 'RegistryOnly',
  pathNormalization: 'Refuse',
  trustedProxies: 0,
} as const;

function countsOf(counts: { readonly [name: string]: number }) {
  const none = { counts: [], sum: 0, count: 0 };
  return {
    requests: [],
    refusals: [],
    audited: [],
    tcpConnections: [],
    tcpBytes: { inbound: { received: 0, sent: 0 }, outbound: { received: 0, sent: 0 } },
    durations: { inbound: none, outbound: none },
    gauges: Object.entries(counts).map(([name, value]) => ({
      name,
      help: '',
      type: 'counter' as const,
      values: [[`{thread="${threadName}"}`, value] as const],
    })),
  };
}

parentPort?.on('message', (message: unknown) => {
  if (!isToWorker(message)) return;
  if (message.kind === 'discard') discards++;
  if (message.kind === 'credentials') renewals++;
  if (message.kind !== 'request') return;
  const said: FromWorker = { kind: 'answer', id: message.id, answer: answerTo(message.request) };
  parentPort?.postMessage(said);
});
