import type { CommandIo } from '../command.ts';
import { loopbackPort } from './dial.ts';
import type { OperationsSource } from './operations-source.ts';
import { controlPlanePages, sidecarPages } from './page-source.ts';
import type { Reach } from './reach-options.ts';

/** Port of the status pages, on the loopback of a control plane's pod. */
export const CONSOLE_PORT = 15080;

/** Everybody who is to be asked: of a cluster, each ready replica of the control plane. Rejects with a sentence. */
export async function openSources(reach: Reach, environment: NodeJS.ProcessEnv): Promise<readonly OperationsSource[]> {
  switch (reach.kind) {
    case 'control-plane': {
      const { openControlPlaneSource } = await import('./control-plane-source.ts');
      return [await openControlPlaneSource(reach.at)];
    }
    case 'sidecar':
      return [sidecarPages(`sidecar on port ${reach.port}`, loopbackPort(reach.port))];
    case 'cluster': {
      const { openCluster } = await import('../cluster/cluster.ts');
      const cluster = await openCluster(reach.at, environment);
      try {
        const pods = await cluster.controlPlanePods(reach.at.namespace);
        return pods.map((pod) => controlPlanePages(pod.name, () => cluster.forward(pod, CONSOLE_PORT)));
      } finally {
        cluster.close(); // connections to pods are their own
      }
    }
  }
}

/**
 * What everybody answers. Who cannot be asked is named on stderr, and the others count; throws when nobody answered.
 */
export async function askAll<Answer>(
  sources: readonly OperationsSource[],
  ask: (source: OperationsSource) => Promise<Answer>,
  io: CommandIo,
): Promise<readonly { readonly source: OperationsSource; readonly answer: Answer }[]> {
  const results = await Promise.allSettled(sources.map(ask));
  const answers: { readonly source: OperationsSource; readonly answer: Answer }[] = [];
  const failures: string[] = [];
  for (const [index, result] of results.entries()) {
    const source = sources[index];
    if (source === undefined) continue;
    if (result.status === 'fulfilled') answers.push({ source, answer: result.value });
    else failures.push(`${source.name}: ${reasonOf(result.reason)}`);
  }
  if (answers.length === 0) throw new Error(failures.join('; '));
  for (const failure of failures) io.stderr(`warning: not asked: ${failure}\n`);
  return answers;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
