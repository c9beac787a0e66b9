import { existsSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import type { ApiConnection } from '#control-plane/kubernetes/client/api-connection.ts';
import { UsageError } from '../command.ts';

/** The user's kubeconfig, with a cluster and a user in its context. Wrong usage where there is none. */
export async function loadKubeconfig(
  file: string | undefined,
  context: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<KubeConfig> {
  const path = file ?? environment.KUBECONFIG ?? join(homedir(), '.kube', 'config');
  const isGiven = file !== undefined || environment.KUBECONFIG !== undefined;
  // KUBECONFIG may name several files: the library joins them
  if (file !== undefined || environment.KUBECONFIG === undefined) {
    if (!existsSync(path)) throw new UsageError(isGiven ? `--kubeconfig ${path}: there is no such file` : NOBODY);
  }
  const { KubeConfig } = await import('#control-plane/kubernetes/client/client-node.ts'); // some 50 MB: only who asks a cluster pays for it
  const config = new KubeConfig();
  try {
    if (file !== undefined || environment.KUBECONFIG === undefined) config.loadFromFile(path);
    else config.loadFromDefault();
  } catch (error) {
    throw new UsageError(
      `the kubeconfig ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (context !== undefined) {
    const names = config.getContexts().map(({ name }) => name);
    if (!names.includes(context))
      throw new UsageError(`--context ${context} is not in ${path}; it has ${names.join(', ') || 'none'}`);
    config.setCurrentContext(context);
  }
  if (config.getCurrentCluster() === null) {
    throw new UsageError(`${path} has no current context with a cluster; name one with --context`);
  }
  return config;
}

const NOBODY =
  'nobody to ask: no --kubeconfig, KUBECONFIG or ~/.kube/config for a cluster, no --control-plane HOST:PORT (or LATERAL_CONTROL_PLANE), no --sidecar PORT';

/** The API server of the kubeconfig's context, with all the ways to log in that the client library knows. */
export function apiConnectionOf(config: KubeConfig): ApiConnection {
  const cluster = config.getCurrentCluster();
  return {
    url: new URL(cluster?.server ?? ''),
    async options() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      // The library makes an agent a request; ours keeps its connections. A proxy needs the library's own.
      if (cluster?.proxyUrl === undefined) delete options.agent;
      return options;
    },
    forget() {},
  };
}
