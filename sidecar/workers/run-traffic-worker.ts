import type { MessagePort } from 'node:worker_threads';
import type { GeneratedValidator, GenerateValidators } from '#policy/validation/generate-validators.ts';
import { policyInForceOf } from '../policy/policy-in-force.ts';
import { reasonsOf } from '../policy/policy-status.ts';
import type { PreparedPolicy } from '../policy/policy-target.ts';
import { LogWriter } from '../telemetry/log-writer.ts';
import { lostSpans } from '../telemetry/sidecar-gauges.ts';
import { ServedTraffic } from '../traffic/serve-traffic.ts';
import { ForwardedLog } from './forwarded-log.ts';
import { ForwardedRecords } from './forwarded-records.ts';
import { type FromWorker, isToWorker, type WorkerAnswer, type WorkerRequest, type WorkerSettings } from './messages.ts';
import { ReceivedCredentials } from './received-credentials.ts';

/** Runs one share of the traffic: what this thread does not have of its own comes from and goes to the main thread. */
export function runTrafficWorker(port: MessagePort, settings: WorkerSettings): void {
  const { configuration, wantsSpans } = settings;
  const post = (message: FromWorker) => port.postMessage(message);
  const credentials = new ReceivedCredentials(settings.credentials);
  const generator = new RemoteGenerator((id, jobs) => post({ kind: 'generate', id, jobs }));
  const policy = policyInForceOf(configuration, generator.generate);
  const lines = new ForwardedLog((bytes) => {
    const message: FromWorker = { kind: 'lines', bytes };
    port.postMessage(message, [bytes.buffer]);
  });
  const log = new LogWriter(lines, settings.maxPendingLogBytes);
  log.isOff = !settings.wantsLog;
  const records = new ForwardedRecords(wantsSpans, (batch) => post({ kind: 'records', records: batch }));
  records.countRules(policy.tallies);
  const traffic = new ServedTraffic({
    configuration,
    credentials,
    policy,
    log,
    logKey: settings.logKey,
    recorders: [records],
    gauges: [lostSpans(records)],
    isShared: true,
  });
  let prepared: { readonly version: string; readonly policy: PreparedPolicy } | undefined;

  async function answer(request: WorkerRequest): Promise<WorkerAnswer> {
    switch (request.kind) {
      case 'prepare': {
        const { snapshot } = request;
        prepared = { version: snapshot.version, policy: await traffic.prepare(snapshot) };
        return { kind: 'prepared', defaults: prepared.policy.defaults };
      }
      case 'commit':
        if (prepared?.version !== request.version) throw new Error(`version ${request.version} was not prepared`);
        await prepared.policy.commit();
        prepared = undefined;
        break;
      case 'open':
        await traffic.open();
        break;
      case 'metrics':
        return {
          kind: 'metrics',
          metrics: (await traffic.metrics()).snapshot(),
          plaintextCallers: await traffic.plaintextCallers(),
        };
      case 'drain':
        await traffic.drain();
        await Promise.all([records.close(), log.close()]);
    }
    return { kind: 'done' };
  }

  port.on('message', (message: unknown) => {
    if (!isToWorker(message)) return;
    switch (message.kind) {
      case 'request':
        answer(message.request)
          .catch((error: unknown): WorkerAnswer => ({ kind: 'failed', reasons: reasonsOf(error) }))
          .then((given) => post({ kind: 'answer', id: message.id, answer: given }));
        return;
      case 'credentials':
        credentials.receive(message.credentials);
        return;
      case 'discard':
        prepared = undefined;
        return;
      case 'generated':
        generator.settle(message.id, message.result);
        return;
      case 'lines-taken':
        lines.taken(message.areLost);
        return;
      case 'records-taken':
        records.taken();
        return;
      case 'log-wanted':
        log.isOff = !message.isWanted;
        return;
      case 'ping':
        post({ kind: 'pong' });
    }
  });
}

/** Has schemas compiled by the main thread. */
class RemoteGenerator {
  readonly #ask: (id: number, jobs: Parameters<GenerateValidators>[0]) => void;
  readonly #pending = new Map<number, PromiseWithResolvers<readonly GeneratedValidator[]>>();
  #lastId = 0;

  constructor(ask: (id: number, jobs: Parameters<GenerateValidators>[0]) => void) {
    this.#ask = ask;
  }

  readonly generate: GenerateValidators = (jobs) => {
    const pending = Promise.withResolvers<readonly GeneratedValidator[]>();
    this.#pending.set(++this.#lastId, pending);
    this.#ask(this.#lastId, jobs);
    return pending.promise;
  };

  /** A text is the reason why not. */
  settle(id: number, result: readonly GeneratedValidator[] | string): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (typeof result === 'string') pending?.reject(new Error(result));
    else pending?.resolve(result);
  }
}
