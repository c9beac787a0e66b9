import { type handleUnaryCall, status } from '@grpc/grpc-js';
import { MAX_ROOTS_OF_DOMAIN } from '#policy/resource/kinds/trust-bundle.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { ReplicasServer } from '#proto/gen/lateral/v1/replicas.ts';
import { controlPlaneIdentity } from '../authority/control-plane-certificate.ts';
import type { TrustSurvey } from '../authority/trust-survey.ts';
import type { SidecarRegistry } from '../discovery/sidecar-registry.ts';
import type { EventLog } from '../event-log.ts';
import type { CallerProofs } from '../grpc/caller-proofs.ts';
import { asRefusal, CallRefusal } from '../grpc/refuse-call.ts';
import { countProgrammed } from './programmed-counts.ts';

/** MeshServices that one request may name. */
const MAX_SERVICES = 10_000;

export interface ReplicasServiceOptions {
  readonly registry: SidecarRegistry;
  readonly mesh: Mesh;
  readonly log: EventLog;
  readonly survey: Pick<TrustSurvey, 'answer'>;
  readonly callers: CallerProofs;
}

/** `Replicas`: what this control plane tells another of the same mesh, by the identity that both have. */
export function replicasService(options: ReplicasServiceOptions): ReplicasServer {
  const { registry, survey } = options;
  return {
    listProgrammed: answering(options, ({ services }) => {
      const programmed = countProgrammed(registry.sidecars, services.slice(0, MAX_SERVICES));
      return { programmed: programmed.map((count) => ({ ...count, refusedBy: [...count.refusedBy] })) };
    }),
    listTrust: answering(options, ({ roots }) => {
      const { sidecars, ...rest } = survey.answer(roots.slice(0, MAX_ROOTS_OF_DOMAIN));
      return { ...rest, sidecars: [...sidecars] };
    }),
  };
}

function answering<Request, Response>(
  { mesh, log, callers }: ReplicasServiceOptions,
  answer: (request: Request) => Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    try {
      const caller = callers.of(call);
      if (caller?.identity.uri !== controlPlaneIdentity(mesh).uri) {
        throw new CallRefusal(status.PERMISSION_DENIED, 'only control planes of this mesh are answered');
      }
      callback(null, answer(call.request));
    } catch (error) {
      callback(asRefusal(error, (cause) => log('replica_not_answered', { error: String(cause) })));
    }
  };
}
