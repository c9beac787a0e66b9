import { status } from '@grpc/grpc-js';
import type { Workload } from '#policy/workload-policy.ts';
import type { OwnerOf, WorkloadDirectory } from '../../discovery/workload-directory.ts';
import { CallRefusal } from '../../grpc/refuse-call.ts';
import { objectKey } from '../api-object.ts';
import type { ClusterPod } from './cluster-objects.ts';
import type { ClusterPods } from './cluster-pods.ts';

/** A pod may say Hello before the watch has told of it; it is waited for this long. */
export const POD_WAIT_MS = 5_000;

/** Workloads by the word of the API server: who they are, and what labels they have. */
export function podDirectory(pods: ClusterPods, ownerOf: OwnerOf, waitMs = POD_WAIT_MS): WorkloadDirectory {
  return {
    ownerOf,
    resolve(claimed, found) {
      const key = objectKey(claimed);
      const take = (pod: ClusterPod): void => {
        if (pod.serviceAccount !== claimed.serviceAccount) {
          const reason = `Pod ${key} is of service account ${pod.serviceAccount}, and the certificate proves ${claimed.serviceAccount}`;
          throw new CallRefusal(status.PERMISSION_DENIED, reason);
        }
        found({ kind: 'found', workload: workloadOf(pod), addresses: pod.addresses });
      };
      let deadline: NodeJS.Timeout | undefined;
      const stop = pods.listen(key, (pod) => {
        // A pod that is gone is drained under the labels it had.
        if (pod === undefined) return;
        clearTimeout(deadline);
        try {
          take(pod);
        } catch (error) {
          found({ kind: 'refused', error });
        }
      });
      const end = () => {
        clearTimeout(deadline);
        stop();
      };
      const known = pods.get(key);
      if (known === undefined) {
        deadline = setTimeout(() => {
          const reason = `no Pod ${key} is known after ${waitMs} ms; it may be gone, or the Kubernetes API away`;
          found({ kind: 'refused', error: new CallRefusal(status.UNAVAILABLE, reason) });
        }, waitMs);
        return end;
      }
      try {
        take(known);
      } catch (error) {
        end();
        throw error;
      }
      return end;
    },
  };
}

function workloadOf({ namespace, name, serviceAccount, labels }: ClusterPod): Workload {
  return { namespace, name, serviceAccount, labels };
}
