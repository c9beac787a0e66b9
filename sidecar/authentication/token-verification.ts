import type { TokenJudge } from '#policy/authentication/judge-tokens.ts';
import { logEvent } from '../operational-log.ts';
import { issuerGauges } from '../telemetry/issuer-gauges.ts';
import type { Gauge } from '../telemetry/metrics.ts';
import type { IssuerTokenVerifier } from './issuer-token-verifier.ts';

/** The verifier of a thread: made, and its code loaded, when a policy first asks for tokens. */
export class TokenVerification {
  readonly #stateDirectory: string | undefined;
  #verifier: Promise<IssuerTokenVerifier> | undefined;
  #opened: IssuerTokenVerifier | undefined;

  /** `stateDirectory`: where the keys of issuers are kept across restarts; undefined: nowhere. */
  constructor(stateDirectory: string | undefined) {
    this.#stateDirectory = stateDirectory;
  }

  readonly gauges: readonly Gauge[] = issuerGauges(() => this.#opened?.keysStates ?? []);

  readonly open = (): Promise<IssuerTokenVerifier> => {
    this.#verifier ??= this.#open();
    return this.#verifier;
  };

  /** The policy that is in force asks for tokens by this judge, or for none. */
  inForce(judge: TokenJudge | undefined): void {
    this.#verifier?.then((verifier) => verifier.use(judge?.sources ?? []));
  }

  close(): void {
    this.#verifier?.then((verifier) => verifier.close());
  }

  async #open(): Promise<IssuerTokenVerifier> {
    const [{ IssuerTokenVerifier: Verifier }, { keysKeptIn, NOTHING_KEPT }] = await Promise.all([
      import('./issuer-token-verifier.ts'),
      import('./kept-keys.ts'),
    ]);
    this.#opened = new Verifier({
      monotonicMs: () => performance.now(),
      nowMs: Date.now,
      schedule,
      kept: this.#stateDirectory === undefined ? NOTHING_KEPT : keysKeptIn(this.#stateDirectory),
      log: logEvent,
    });
    return this.#opened;
  }
}

/** Keeps no program running. */
function schedule(afterMs: number, run: () => void): () => void {
  const timer = setTimeout(run, afterMs);
  timer.unref();
  return () => clearTimeout(timer);
}
