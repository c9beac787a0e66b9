import { status } from '@grpc/grpc-js';
import type { Mesh } from '#policy/workload-policy.ts';
import type { ReplicasServer } from '#proto/gen/lateral/v1/replicas.ts';
import { controlPlaneIdentity } from '../authority/control-plane-certificate.ts';
import type { SidecarRegistry } from '../discovery/sidecar-registry.ts';
import type { EventLog } from '../event-log.ts';
import { certificateOfCaller } from '../grpc/certificate-of-caller.ts';
import { asRefusal, CallRefusal } from '../grpc/refuse-call.ts';
import { countProgrammed } from './programmed-counts.ts';

/** MeshServices that one request may name. */
const MAX_SERVICES = 10_000;

export interface ReplicasServiceOptions {
  readonly registry: SidecarRegistry;
  readonly mesh: Mesh;
  readonly log: EventLog;
  readonly now: () => number;
}

/** `Replicas`: what this control plane tells another of the same mesh, by the identity that both have. */
export function replicasService({ registry, mesh, log, now }: ReplicasServiceOptions): ReplicasServer {
  return {
    listProgrammed(call, callback) {
      try {
        const caller = certificateOfCaller(call, mesh.trustDomain, now());
        if (caller?.identity.uri !== controlPlaneIdentity(mesh).uri) {
          throw new CallRefusal(status.PERMISSION_DENIED, 'only control planes of this mesh are answered');
        }
        const programmed = countProgrammed(registry.sidecars, call.request.services.slice(0, MAX_SERVICES));
        callback(null, { programmed: programmed.map((count) => ({ ...count, refusedBy: [...count.refusedBy] })) });
      } catch (error) {
        callback(asRefusal(error, (cause) => log('replica_not_answered', { error: String(cause) })));
      }
    },
  };
}
