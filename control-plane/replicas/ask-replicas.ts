import { ReplicasService } from '#proto/gen/lateral/v1/replicas.ts';
import type { EventLog } from '../event-log.ts';
import { type AskingReplica, askReplica, MAX_REPLICAS } from './ask-replica.ts';
import type { ProgrammedCount } from './programmed-counts.ts';

/** So long its last answer stands: a hiccup is no reason to write the status of every resource twice. */
export const ANSWER_KEPT_MS = 30_000;
export interface AskReplicasOptions extends AskingReplica {
  /** `HOST:PORT` of every other replica, now. */
  readonly addresses: () => readonly string[];
  readonly log: EventLog;
  /** Default Date.now. */
  readonly now?: () => number;
}

/** What the other replicas have said of their sidecars. */
export interface ReplicaAnswers {
  readonly programmed: readonly ProgrammedCount[];
  /** Replicas whose sidecars are not in it. */
  readonly silent: number;
}

/** Asks all other replicas what their sidecars have in force; for one that is silent its last answer stands for a while. */
export function askReplicas(options: AskReplicasOptions): (services: readonly string[]) => Promise<ReplicaAnswers> {
  const { addresses, log, now = Date.now } = options;
  const silent = new Set<string>();
  const kept = new Map<string, { readonly programmed: readonly ProgrammedCount[]; readonly untilMs: number }>();
  return async (services) => {
    const asked = addresses().slice(0, MAX_REPLICAS);
    for (const address of [...silent, ...kept.keys()]) {
      if (asked.includes(address)) continue;
      silent.delete(address);
      kept.delete(address);
    }
    const answers = await Promise.all(
      asked.map(async (address) => {
        try {
          const asked = { services: [...services] };
          const { programmed } = await askReplica(address, ReplicasService.listProgrammed, asked, options);
          silent.delete(address);
          kept.set(address, { programmed, untilMs: now() + ANSWER_KEPT_MS });
          return programmed;
        } catch (error) {
          if (!silent.has(address)) log('replica_silent', { replica: address, error: String(error) });
          silent.add(address);
          const last = kept.get(address);
          return last !== undefined && now() < last.untilMs ? last.programmed : undefined;
        }
      }),
    );
    const heard = answers.filter((programmed) => programmed !== undefined);
    return { programmed: heard.flat(), silent: answers.length - heard.length };
  };
}
