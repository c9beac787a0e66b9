import { CONTROL_PLANE_CONFIGURATION, DEFAULT_CLUSTER_DOMAIN } from '#control-plane/configuration.ts';
import { metadataOf, recordsOf } from '#control-plane/kubernetes/api-object.ts';
import { ApiError } from '#control-plane/kubernetes/client/api-error.ts';
import type { KubernetesClient } from '#control-plane/kubernetes/client/kubernetes-client.ts';
import { configMapDataOf } from '#control-plane/kubernetes/cluster/cluster-objects.ts';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';

/** Where the chart puts the control plane's configuration. */
const CONFIG_MAP = 'lateral-control-plane';
const KEY = 'control-plane.yaml';
const DEFAULT_TRUST_DOMAIN = 'cluster.local';

/** What of the control plane's configuration the judgement of resources depends on. */
export interface Installation {
  readonly mesh: Mesh;
  readonly clusterDomain: string;
  /** Spec of MeshDefaults, where no resource is. */
  readonly meshDefaults: unknown;
  /** For the user: what is assumed, and why. Absent: it was all read. */
  readonly assumption: string | undefined;
}

/** Which mesh the user says it is. */
export interface GivenMesh {
  /** Goes before that of the control plane. */
  readonly trustDomain: string | undefined;
  /** The control plane's namespace. */
  readonly rootNamespace: string;
}

/**
 * Reads with which configuration the control plane of the cluster runs; what the user may not read, or is not there, is assumed
 * to be the default. Throws ApiError where the API server does not answer.
 */
export async function readInstallation(client: KubernetesClient, given: GivenMesh): Promise<Installation> {
  const { rootNamespace } = given;
  const text = await configurationText(client, rootNamespace);
  const file = `ConfigMap ${rootNamespace}/${CONFIG_MAP}`;
  if (typeof text !== 'string') return assumed(given, `${file} ${text.why}`);
  const read = readConfiguration({ path: file, text }, 'ControlPlaneConfig', CONTROL_PLANE_CONFIGURATION);
  if (read.value === undefined) {
    const [first] = read.problems;
    return assumed(given, `${file} cannot be read by this version of lateral: ${first?.message ?? 'it is empty'}`);
  }
  const { trustDomain, source, meshDefaults } = read.value;
  return {
    mesh: { trustDomain: given.trustDomain ?? trustDomain, rootNamespace },
    clusterDomain: source.kubernetes?.clusterDomain ?? DEFAULT_CLUSTER_DOMAIN,
    meshDefaults,
    assumption: undefined,
  };
}

/** By a list of one, for which the right to list is enough: `check --cluster` needs that one anyway. */
async function configurationText(
  client: KubernetesClient,
  namespace: string,
): Promise<string | { readonly why: string }> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`;
  try {
    const list = await client.request(path, { query: { fieldSelector: `metadata.name=${CONFIG_MAP}`, limit: '1' } });
    const found = recordsOf(isRecord(list) ? list.items : []).find((one) => metadataOf(one)?.name === CONFIG_MAP);
    if (found === undefined) return { why: 'is not there (--root-namespace names the namespace of the control plane)' };
    return configMapDataOf(found)[KEY] ?? { why: `has no key ${KEY}` };
  } catch (error) {
    if (!(error instanceof ApiError) || (error.status !== 403 && error.status !== 404)) throw error;
    return { why: error.status === 403 ? 'may not be read by your user' : 'is not there' };
  }
}

function assumed({ trustDomain, rootNamespace }: GivenMesh, why: string): Installation {
  const mesh = { trustDomain: trustDomain ?? DEFAULT_TRUST_DOMAIN, rootNamespace };
  const domain = trustDomain === undefined ? `trust domain ${mesh.trustDomain}, ` : '';
  return {
    mesh,
    clusterDomain: DEFAULT_CLUSTER_DOMAIN,
    meshDefaults: undefined,
    assumption: `assumed: ${domain}cluster domain ${DEFAULT_CLUSTER_DOMAIN} and no meshDefaults in the chart's values, since ${why}`,
  };
}
