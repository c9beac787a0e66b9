import type { Code } from '#policy/error/codes.ts';
import type { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { Finding, WorkloadPolicy } from '#policy/workload-policy.ts';
import type { OutgoingRequest, ServerRequest } from '../http/message.ts';
import type { TraceContext } from '../telemetry/trace-context.ts';
import { randomHex } from './random-hex.ts';

export type Direction = 'inbound' | 'outbound';

/** Stages in the order they run; the names in logs, spans and metrics. */
export type StageName =
  | 'accept'
  | 'identify'
  | 'route'
  | 'authorize'
  | 'validate'
  | 'resolve'
  | 'choose'
  | 'originate'
  | 'forward'
  | 'respond';

/** Whom an exchange waits for; each has a limit in stall-watch.ts. */
export type WaitingFor = 'caller-body' | 'upstream-head' | 'upstream-body' | 'caller-drain' | 'switched';

/**
 * One request and its response on their way through the sidecar. Each stage adds one fact and returns
 * the exchange under a narrower type, so that the types enforce the order of the stages.
 */
export class Exchange {
  readonly direction: Direction;
  readonly server: ServerRequest;
  /** The law for this exchange, to its end. */
  readonly policy: WorkloadPolicy;
  readonly trace: TraceContext;
  readonly decisionId: string = randomHex(8);
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number = Date.now();
  /** Monotonic milliseconds. */
  readonly startedAt: number = performance.now();

  // accept
  host: string | undefined = undefined;
  path: string | undefined = undefined;
  query = '';
  /** End-to-end fields, without those of this hop and those no caller may set: what every later stage sees. */
  headers: string[] = [];
  // identify
  source: SpiffeId | null | undefined = undefined;
  // route, resolve: where it goes, for logs
  destination: string | undefined = undefined;
  port = 0;
  /** Path template of the operation, where a schema knows it. */
  route: string | undefined = undefined;

  // the decision
  decision: 'allow' | 'deny' | 'audit' = 'allow';
  code: Code | 'allowed' = 'allowed';
  policyName: string | undefined = undefined;
  rule: number | undefined = undefined;
  reason = '';
  refusal: Refusal | undefined = undefined;

  // progress
  status = 0;
  bytesIn = 0;
  bytesOut = 0;
  /** True once the response head has left: from then on a fault can only end the connection. */
  isAnswered = false;
  waitingFor: WaitingFor = 'caller-body';
  progressedAt: number = this.startedAt;
  /** Why the exchange is being ended from outside (stall, caller gone, drain). */
  givenUp: Refusal | undefined = undefined;
  /** Set by the stage that waits; ends the wait. */
  onGivenUp: ((refusal: Refusal) => void) | undefined = undefined;
  /** When the client span began and ended, monotonic; 0: there was none. */
  sentAt = 0;
  answeredAt = 0;

  readonly stageNames: StageName[] = [];
  readonly stageStarts: number[] = [];

  constructor(direction: Direction, server: ServerRequest, policy: WorkloadPolicy, trace: TraceContext) {
    this.direction = direction;
    this.server = server;
    this.policy = policy;
    this.trace = trace;
  }

  /** Notes that a stage begins (and the one before it ends). */
  enter(stage: StageName): void {
    this.stageNames.push(stage);
    this.stageStarts.push(performance.now());
  }

  waitFor(whom: WaitingFor): void {
    this.waitingFor = whom;
    this.progressedAt = performance.now();
  }

  /** Ends the exchange from outside the pipeline; the stage that waits throws the refusal. */
  giveUp(refusal: Refusal): void {
    if (this.givenUp !== undefined) return;
    this.givenUp = refusal;
    this.onGivenUp?.(refusal);
  }

  /** Records what policy would have refused and lets the exchange go on. */
  audit(finding: Pick<Finding, 'code' | 'reason' | 'facts'>): void {
    if (this.decision === 'audit') return; // the first finding is the one that would have refused
    this.decision = 'audit';
    this.code = finding.code;
    this.reason = finding.reason;
    this.policyName = finding.facts.policy;
    this.rule = finding.facts.rule;
  }
}

/** Host, path and query are read, and can be read in one way only. */
export type Accepted = Exchange & { readonly host: string; readonly path: string };
/** The caller's identity is proven; null: it has none. */
export type Identified = Accepted & { readonly source: SpiffeId | null };
/** It is known where the request goes. */
export type Routed = Identified & { readonly destination: string };
/** The caller may make this request. */
export type Permitted = Routed & { readonly permitted: true };
/** The request is what its API description says; `body` is what is left to send. */
export type Validated = Permitted & Sendable;
/** Everything was looked at that is to be looked at; what is left of the body is known. */
export type Sendable = Accepted & { readonly outgoingBody: OutgoingRequest['body'] };
