import { type handleUnaryCall, type Metadata, status } from '@grpc/grpc-js';
import type { ConnectedProxy, KeptDecision, OperationsServer } from '#proto/gen/lateral/v1/operations.ts';
import type { AuthorityOperations } from '../authority/authority-operations.ts';
import type { SidecarRegistry, SidecarStatus } from '../discovery/sidecar-registry.ts';
import { vitalsMessage } from '../discovery/sidecar-vitals.ts';
import type { OwnerOf, WorkloadDirectory } from '../discovery/workload-directory.ts';
import type { EventLog } from '../event-log.ts';
import { asRefusal, CallRefusal } from '../grpc/refuse-call.ts';
import type { ObservationLog, ReportedDecision } from '../observation/observation-log.ts';
import type { RuleUses } from '../observation/rule-uses.ts';
import type { SourceStatus } from '../source/source-status.ts';
import type { OperatorGrant } from '../tokens/token-record.ts';
import type { TokenStore } from '../tokens/token-store.ts';
import { authorityResponse, callRefusalOf, changeOfCall } from './authority-calls.ts';
import { proveOperator } from './operator-proof.ts';
import { proxyStateOf } from './proxy-facts.ts';

export interface OperationsServiceOptions {
  /** Undefined: no tokens are configured, and nobody is answered. */
  readonly tokens: TokenStore | undefined;
  readonly registry: SidecarRegistry;
  /** Undefined: nobody knows whose an address is. */
  readonly workloads: WorkloadDirectory | undefined;
  readonly observations: ObservationLog;
  readonly ruleUses: Pick<RuleUses, 'take' | 'currentFacts'>;
  readonly source: () => SourceStatus;
  readonly operations: Pick<AuthorityOperations, 'facts' | 'make'>;
  readonly log: EventLog;
}

/** `Operations`: what the control plane knows, for who shows an operator's token. */
export function operationsService(options: OperationsServiceOptions, tap: OperationsServer['tap']): OperationsServer {
  const { registry, observations, source, workloads, operations } = options;
  return {
    tap,
    listProxies: answering(options, ({ namespace }) => ({
      source: sourceMessage(source()),
      proxies: registry.sidecars
        .filter(({ workload }) => namespace === '' || workload.namespace === namespace)
        .map((sidecar) => proxyMessage(sidecar, workloads?.ownerOf)),
    })),
    listDecisions: answering(options, ({ code, limit }) => {
      const kept = observations.decisions.filter((decision) => code === '' || decision.code === code);
      return { decisions: kept.slice(-(limit || kept.length)).map(decisionMessage) };
    }),
    getDecision: answering(options, ({ decisionId }) => {
      const found = observations.decisions.findLast((decision) => decision.decisionId === decisionId);
      return { decision: found === undefined ? undefined : decisionMessage(found) };
    }),
    listRules: answering(options, async () => ({ facts: JSON.stringify(await options.ruleUses.currentFacts()) })),
    getAuthority: answering(options, async () => authorityResponse(await operations.facts())),
    changeAuthority: answering(options, async (request, { peer, grant }) => {
      if (grant.mayChangeAuthority !== true) {
        throw new CallRefusal(
          status.PERMISSION_DENIED,
          'this token is for looking on; `lateral token --operator`, without --read-only, issues one that may change the authority',
        );
      }
      const change = changeOfCall(request);
      return authorityResponse(await operations.make(change, `an operator at ${peer}`));
    }),
  };
}

interface ProvenOperator {
  readonly grant: OperatorGrant;
  readonly peer: string;
}

/** Asks for the proof before anything is looked up; a refusal is logged. */
function answering<Request, Response>(
  { tokens, log }: OperationsServiceOptions,
  answer: (request: Request, caller: ProvenOperator) => Response | Promise<Response>,
): handleUnaryCall<Request, Response> {
  const prove = (metadata: Metadata) => proveOperator(tokens, metadata);
  return (call, callback) => {
    const answered = prove(call.metadata).then((grant) => answer(call.request, { grant, peer: call.getPeer() }));
    answered.then(
      (response) => callback(null, response),
      (error: unknown) => {
        const refusal = asRefusal(callRefusalOf(error), (cause) => log('operation_failed', { error: String(cause) }));
        log('operation_refused', { peer: call.getPeer(), method: call.getPath(), reason: refusal.details });
        callback(refusal);
      },
    );
  };
}

function sourceMessage({ version, resourceCount, lastApply }: SourceStatus) {
  return {
    version,
    resources: resourceCount,
    isInForce: lastApply.isInForce,
    problems: [...lastApply.problems],
  };
}

function proxyMessage(sidecar: SidecarStatus, ownerOf: OwnerOf | undefined): ConnectedProxy {
  const { workload, refused, vitals } = sidecar;
  return {
    identity: sidecar.identity,
    name: workload.name,
    namespace: workload.namespace,
    serviceAccount: workload.serviceAccount,
    sidecarVersion: sidecar.sidecarVersion,
    peer: sidecar.peer,
    state: proxyStateOf(sidecar),
    inForceVersion: sidecar.inForceVersion,
    pendingVersion: sidecar.pendingVersion ?? '',
    refusedVersion: refused?.version ?? '',
    refusedReasons: [...(refused?.reasons ?? [])],
    refusedAtMs: refused?.atMs ?? 0,
    connectedAtMs: sidecar.connectedAtMs,
    lastHeardMs: sidecar.lastHeardMs,
    vitals: vitals === undefined ? undefined : vitalsMessage(vitals, ownerOf),
  };
}

function decisionMessage({ reporter, sidecar, ...record }: ReportedDecision): KeptDecision {
  return { record, reporter, sidecar };
}
