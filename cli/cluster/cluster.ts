import type { Duplex } from 'node:stream';
import { metadataOf, recordsOf, textOf, textsOf } from '#control-plane/kubernetes/api-object.ts';
import { ApiError, isNotFound } from '#control-plane/kubernetes/client/api-error.ts';
import { type ApiRequest, KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { ClusterReach } from '../operations/reach-options.ts';
import { apiConnectionOf, loadKubeconfig } from './load-kubeconfig.ts';
import { forwardPort } from './port-forward.ts';

/** Name of the control plane's Service, as the chart has it. */
const CONTROL_PLANE_SERVICE = 'lateral-control-plane';
/** Objects asked for at a time. */
const PAGE_SIZE = 500;

/** A pod, as far as operators' commands need it. */
export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly labels: { readonly [key: string]: string };
  /** Name of the object that made it (a ReplicaSet, a Job); empty: nobody. */
  readonly owner: string;
  readonly isRunning: boolean;
  /** Takes requests. False for a pod that is being ended: it is Ready until its process is gone, then refuses. */
  readonly isReady: boolean;
  readonly hasSidecar: boolean;
}

/** A cluster, with the rights of the user. Calls reject with a sentence that says what to do. */
export interface Cluster {
  /** For messages: the URL of the API server. */
  readonly name: string;
  /** Pods of the control plane that are ready. */
  controlPlanePods(namespace: string): Promise<readonly PodFacts[]>;
  /** Running pods of a namespace that have a sidecar. */
  meshPods(namespace: string): Promise<readonly PodFacts[]>;
  /** All objects of a collection; `path` as `/api/v1/pods`. Undefined: the cluster has no such collection. */
  list(path: string): Promise<readonly { readonly [key: string]: unknown }[] | undefined>;
  /** Connects to a port on the loopback of a pod. */
  forward(pod: PodFacts, port: number): Promise<Duplex>;
  close(): void;
}

export async function openCluster(
  { kubeconfig, context }: Pick<ClusterReach, 'kubeconfig' | 'context'>,
  environment: NodeJS.ProcessEnv,
): Promise<Cluster> {
  const config = await loadKubeconfig(kubeconfig, context, environment);
  const connection = apiConnectionOf(config);
  const client = new KubernetesClient(connection);
  const name = connection.url.origin;

  const get = async (path: string, query: ApiRequest['query']): Promise<unknown> => {
    try {
      return await client.request(path, query === undefined ? {} : { query });
    } catch (error) {
      throw error instanceof ApiError ? new ApiError(error.status, error.reason, sentence(error, path, name)) : error;
    }
  };

  const list: Cluster['list'] = async (path) => {
    const items: { readonly [key: string]: unknown }[] = [];
    let more = '';
    do {
      const page = await get(path, { limit: String(PAGE_SIZE), ...(more === '' ? {} : { continue: more }) }).catch(
        (error: unknown) => {
          if (isNotFound(error)) return undefined;
          throw error;
        },
      );
      if (page === undefined) return undefined;
      if (!isRecord(page)) throw new Error(`${path}: the answer of ${name} is no list`);
      items.push(...recordsOf(page.items));
      more = isRecord(page.metadata) ? textOf(page.metadata.continue) : '';
    } while (more !== '');
    return items;
  };

  const pods = async (namespace: string) =>
    ((await list(`/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`)) ?? []).flatMap(
      (one) => podFactsOf(one) ?? [],
    );

  return {
    name,
    async controlPlanePods(namespace) {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/services/${CONTROL_PLANE_SERVICE}`;
      const service = await get(path, undefined).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
        throw new Error(
          `no control plane in namespace ${namespace} of ${name} (there is no Service ${CONTROL_PLANE_SERVICE}); name its namespace with -n, or install it (docs/operating.md)`,
        );
      });
      const selector = Object.entries(
        textsOf(isRecord(service) && isRecord(service.spec) ? service.spec.selector : {}),
      );
      const all = (await pods(namespace)).filter(({ labels }) =>
        selector.every(([key, value]) => labels[key] === value),
      );
      const ready = all.filter(({ isReady }) => isReady);
      if (ready.length > 0) return ready;
      throw new Error(
        `none of the ${all.length} pods of the control plane in namespace ${namespace} is ready; see kubectl -n ${namespace} get pods`,
      );
    },
    meshPods: async (namespace) =>
      (await pods(namespace)).filter(({ isRunning, hasSidecar }) => isRunning && hasSidecar),
    list,
    forward: (pod, port) => forwardPort(config, pod.namespace, pod.name, port),
    close: () => client.close(),
  };
}

/** What to do about an answer that is none. */
function sentence({ status, message }: ApiError, path: string, name: string): string {
  if (status === undefined) {
    return `the API server ${name} does not answer (${message}); is the cluster up, and --context the right one?`;
  }
  if (status === 401) return `${name} does not know you (401); log in again, or use another --context`;
  if (status === 403) return `you may not read ${path} (403: ${message}); docs/operating.md has a Role that allows it`;
  return message;
}

function podFactsOf(object: { readonly [key: string]: unknown }): PodFacts | undefined {
  const metadata = metadataOf(object);
  if (metadata === undefined) return undefined;
  const spec = isRecord(object.spec) ? object.spec : {};
  const status = isRecord(object.status) ? object.status : {};
  const [owner] = recordsOf(isRecord(object.metadata) ? object.metadata.ownerReferences : []);
  const isEnding = isRecord(object.metadata) && object.metadata.deletionTimestamp !== undefined;
  const containers = [...recordsOf(spec.containers), ...recordsOf(spec.initContainers)];
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    labels: metadata.labels,
    owner: textOf(owner?.name),
    isRunning: status.phase === 'Running',
    isReady:
      !isEnding && recordsOf(status.conditions).some(({ type, status: value }) => type === 'Ready' && value === 'True'),
    hasSidecar: containers.some(({ name }) => name === 'lateral-sidecar'),
  };
}
