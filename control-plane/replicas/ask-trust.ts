import { ReplicasService } from '#proto/gen/lateral/v1/replicas.ts';
import type { ReplicaTrust } from '../authority/trust-judgement.ts';
import { type AskingReplica, askReplica, MAX_REPLICAS } from './ask-replica.ts';

/** Asks all other replicas which of their sidecars trust these roots (fingerprints). */
export function askTrust(
  options: AskingReplica & { readonly addresses: () => readonly string[] },
): (roots: readonly string[]) => Promise<readonly ReplicaTrust[]> {
  return (roots) =>
    Promise.all(
      options
        .addresses()
        .slice(0, MAX_REPLICAS)
        .map(async (replica) => {
          try {
            return {
              replica,
              answer: await askReplica(replica, ReplicasService.listTrust, { roots: [...roots] }, options),
            };
          } catch {
            return { replica, answer: undefined }; // it is named in the status as silent
          }
        }),
    );
}
