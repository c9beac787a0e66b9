import type { Code } from '#policy/error/codes.ts';
import type { Refusal } from '#policy/error/refusal.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { Finding, WorkloadPolicy } from '#policy/workload-policy.ts';
import { randomHex } from './random-hex.ts';

export type Direction = 'inbound' | 'outbound';

/** Stages in the order they run; the names in logs, spans and metrics. */
export type StageName =
  | 'accept'
  | 'identify'
  | 'route'
  | 'authenticate'
  | 'consult'
  | 'authorize'
  | 'validate'
  | 'resolve'
  | 'choose'
  | 'originate'
  | 'connect'
  | 'forward'
  | 'respond'
  | 'join';

/** Whom a passage waits for; each has a limit in stall-watch.ts. */
export type WaitingFor =
  | 'caller-body'
  | 'upstream-head'
  | 'upstream-body'
  | 'caller-drain'
  | 'provider'
  | 'judgement'
  | 'issuer'
  | 'switched'
  | 'tcp';

/** What would have been refused, were it enforced. */
export interface AuditedRefusal {
  readonly code: Code;
  readonly reason: string;
  /** What decided; undefined: no policy, or no rule of it, did alone. */
  readonly by: Pick<Finding['facts'], 'policy' | 'rule'>;
}

/**
 * What passes the sidecar and is decided on, as far as an HTTP exchange and a TCP connection are alike: who, under
 * which law, how it was decided, how far it got.
 */
export class Passage {
  readonly direction: Direction;
  /** The law for this passage, to its end. */
  readonly policy: WorkloadPolicy;
  readonly decisionId: string = randomHex(8);
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number = Date.now();
  /** Monotonic milliseconds. */
  readonly startedAt: number = performance.now();

  // identify
  source: SpiffeId | null | undefined = undefined;
  // route, resolve: where it goes, for logs
  destination: string | undefined = undefined;
  port = 0;
  /** The address that the caller meant, where it is known (inbound, redirected). */
  destinationIp: string | undefined = undefined;

  // the decision
  decision: 'allow' | 'deny' | 'audit' = 'allow';
  code: Code | 'allowed' = 'allowed';
  policyName: string | undefined = undefined;
  rule: number | undefined = undefined;
  reason = '';
  /** What was wrong with a request or response, field by field; undefined: no validation found anything. */
  details: Finding['facts']['details'] = undefined;
  refusal: Refusal | undefined = undefined;
  /** What policy would have refused it for, the first finding; undefined: nothing. */
  wouldRefuse: AuditedRefusal | undefined = undefined;
  /** The first rule of an AUDIT policy that matched: `shop/log rule 0`. */
  audited: string | undefined = undefined;
  /** What providers of CUSTOM policies said: `opa: allowed, grpc 0`. */
  providers: string | undefined = undefined;

  // progress
  bytesIn = 0;
  bytesOut = 0;
  /** Monotonic milliseconds: when its caller will not wait any longer; infinite: it does not say. */
  deadlineAt = Number.POSITIVE_INFINITY;
  /** A gRPC call: refusals are gRPC statuses. */
  isGrpc = false;
  /** The same over HTTP/2, whose connections have waits of their own: over HTTP/1.1 a content type must not buy patience. */
  mayRest = false;
  waitingFor: WaitingFor = 'caller-body';
  progressedAt: number = this.startedAt;
  /** Why the passage is being ended from outside (stall, caller gone, drain). */
  givenUp: Refusal | undefined = undefined;
  /** Set by the stage that waits; ends the wait. */
  onGivenUp: ((refusal: Refusal) => void) | undefined = undefined;

  /** Its place in the stall watch; -1: not watched. */
  watchIndex = -1;

  readonly stageNames: StageName[] = [];
  readonly stageStarts: number[] = [];

  constructor(direction: Direction, policy: WorkloadPolicy) {
    this.direction = direction;
    this.policy = policy;
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

  /** Ends the passage from outside the pipeline; the stage that waits throws the refusal. */
  giveUp(refusal: Refusal): void {
    if (this.givenUp !== undefined) return;
    this.givenUp = refusal;
    this.onGivenUp?.(refusal);
  }

  /** Records what policy would have refused and lets the passage go on. `by`: what decided, where `facts` name what came near. */
  audit(finding: Pick<Finding, 'code' | 'reason' | 'facts'>, by: AuditedRefusal['by'] = finding.facts): void {
    if (this.wouldRefuse !== undefined) return; // the first finding is the one that would have refused
    this.wouldRefuse = { code: finding.code, reason: finding.reason, by };
    this.decision = 'audit';
    this.code = finding.code;
    this.reason = finding.reason;
    this.details = finding.facts.details;
    this.policyName = finding.facts.policy;
    this.rule = finding.facts.rule;
  }

  /** Records what ended the passage. A refusal is a decision; an app that is away is none: what policy said stays said. */
  fail(refusal: Refusal): void {
    if (!NOT_DECISIONS.has(refusal.code)) this.decision = 'deny';
    this.refusal = refusal;
    this.code = refusal.code;
    this.reason = refusal.reason;
    if (refusal.facts.details !== undefined) this.details = refusal.facts.details;
    if (this.wouldRefuse !== undefined) {
      this.reason += `; before that it was let through, though ${this.wouldRefuse.code}: ${this.wouldRefuse.reason}`;
    }
    if (refusal.facts.policy === undefined) return;
    this.policyName = refusal.facts.policy;
    this.rule = refusal.facts.rule;
  }
}

/** Codes of what went wrong after policy had let it through. */
const NOT_DECISIONS: ReadonlySet<Code> = new Set([
  'upstream_unavailable',
  'upstream_timeout',
  'upstream_malformed',
  'client_gone',
  'idle_timeout',
  'draining',
]);
