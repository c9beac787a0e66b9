import { type handleClientStreamingCall, status } from '@grpc/grpc-js';
import type { ReportRequest, ReportResponse } from '#proto/gen/lateral/v1/observation.ts';
import type { EventLog } from '../event-log.ts';
import type { CallerProofs } from '../grpc/caller-proofs.ts';
import { asRefusal, CallRefusal } from '../grpc/refuse-call.ts';
import type { ControlPlaneMetrics } from '../status/metrics.ts';
import type { ObservationLog } from './observation-log.ts';
import type { RuleUses } from './rule-uses.ts';

export interface ObservationServiceOptions {
  readonly observations: ObservationLog;
  readonly ruleUses: Pick<RuleUses, 'take' | 'currentFacts'>;
  readonly metrics: ControlPlaneMetrics;
  readonly log: EventLog;
  readonly callers: CallerProofs;
}

/** `Observation.Report`: takes what a sidecar saw, under the identity its certificate proves. */
export function observationService(
  options: ObservationServiceOptions,
): handleClientStreamingCall<ReportRequest, ReportResponse> {
  const { observations, ruleUses, metrics, log, callers } = options;
  return (call, callback) => {
    try {
      const caller = callers.of(call);
      if (caller === undefined) throw new CallRefusal(status.UNAUTHENTICATED, 'a certificate of this mesh is needed');
      call.on('data', (report: ReportRequest) => {
        metrics.reports++;
        observations.take(caller.identity.uri, report);
        ruleUses.take(report.rules);
      });
      call.on('end', () => callback(null, {}));
      // The sidecar is gone; what it reported is kept.
      call.on('error', () => {});
    } catch (error) {
      callback(asRefusal(error, (cause) => log('report_failed', { error: String(cause) })));
    }
  };
}
