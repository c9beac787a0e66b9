import { isRecord } from '#policy/schema/schema.ts';
import type { DocumentPart } from '../../documents/document-reader.ts';
import { INJECTED } from '../../injection/names.ts';
import { readPodChoices } from '../../injection/pod-choices.ts';
import { isPort, metadataOf, type ObjectMetadata, recordsOf, textOf, textsOf } from '../api-object.ts';

/** What is kept of a Service. */
export interface ClusterService {
  readonly namespace: string;
  readonly name: string;
  readonly labels: { readonly [key: string]: string };
  readonly type: string;
  /** Addresses of the cluster; none where it is headless. */
  readonly addresses: readonly string[];
  readonly externalName: string;
  /** Which of the two addresses of a pod is taken, where it has both. */
  readonly firstFamily: string;
  readonly publishesNotReady: boolean;
  /** Labels of its Pods; empty: its slices are of somebody else's making. */
  readonly selector: { readonly [key: string]: string };
  readonly ports: readonly ClusterServicePort[];
}

export interface ClusterServicePort {
  /** Empty where the Service has a single port without a name. */
  readonly name: string;
  readonly port: number;
  readonly transport: string;
  readonly appProtocol: string;
}

/** What is kept of an EndpointSlice. */
export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  /** `IPv4` or `IPv6`. */
  readonly family: string;
  /** The Service it is of; empty: none. */
  readonly service: string;
  readonly ports: readonly { readonly name: string; readonly port: number }[];
  readonly endpoints: readonly SliceEndpoint[];
}

export interface SliceEndpoint {
  readonly addresses: readonly string[];
  readonly isReady: boolean;
  /** Name of the pod in the namespace of the slice; empty: it is no pod. */
  readonly pod: string;
  readonly hostname: string;
}

/** What is kept of a Pod. */
export interface ClusterPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: { readonly [key: string]: string };
  readonly serviceAccount: string;
  readonly isHostNetwork: boolean;
  /** Neither Succeeded nor Failed. */
  readonly isAlive: boolean;
  /** Its own addresses; none while it has not got them yet. */
  readonly addresses: readonly string[];
  /** What the annotation `lateral.dev/injected` says; undefined: it has no sidecar. */
  readonly injected: Injection | undefined;
}

/** How a pod was made part of the mesh. */
export interface Injection {
  readonly interception: 'redirect' | 'none';
  /** Ports that are reached past the sidecar. */
  readonly excludedPorts: readonly number[];
  /** App port -> port of the sidecar's listener; with interception none, only these are of the mesh. */
  readonly inbound: { readonly [appPort: string]: number };
}

const SERVICE_OF_SLICE = 'kubernetes.io/service-name';

export function clusterServiceOf(object: { readonly [key: string]: unknown }): ClusterService | undefined {
  const metadata = metadataOf(object);
  if (metadata === undefined || !isRecord(object.spec)) return undefined;
  const { spec } = object;
  const clusterIps = Array.isArray(spec.clusterIPs) ? spec.clusterIPs.map(textOf) : [textOf(spec.clusterIP)];
  const { namespace, name, labels } = metadata;
  return {
    namespace,
    name,
    labels,
    type: textOf(spec.type),
    addresses: clusterIps.filter((address) => address !== '' && address !== 'None'),
    externalName: textOf(spec.externalName),
    firstFamily: Array.isArray(spec.ipFamilies) ? textOf(spec.ipFamilies[0]) : '',
    publishesNotReady: spec.publishNotReadyAddresses === true,
    selector: textsOf(spec.selector),
    ports: recordsOf(spec.ports).flatMap((port) =>
      isPort(port.port)
        ? [
            {
              name: textOf(port.name),
              port: port.port,
              transport: textOf(port.protocol) || 'TCP',
              appProtocol: textOf(port.appProtocol),
            },
          ]
        : [],
    ),
  };
}

export function endpointSliceOf(object: { readonly [key: string]: unknown }): EndpointSlice | undefined {
  const metadata = metadataOf(object);
  // Slices of type FQDN name hosts, not addresses.
  if (metadata === undefined || textOf(object.addressType) === 'FQDN') return undefined;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    family: textOf(object.addressType),
    service: metadata.labels[SERVICE_OF_SLICE] ?? '',
    ports: recordsOf(object.ports).flatMap(({ name, port }) => (isPort(port) ? [{ name: textOf(name), port }] : [])),
    endpoints: recordsOf(object.endpoints).map(sliceEndpointOf),
  };
}

function sliceEndpointOf(endpoint: { readonly [key: string]: unknown }): SliceEndpoint {
  const conditions = isRecord(endpoint.conditions) ? endpoint.conditions : {};
  const target = isRecord(endpoint.targetRef) ? endpoint.targetRef : {};
  return {
    addresses: Array.isArray(endpoint.addresses) ? endpoint.addresses.map(textOf).filter((one) => one !== '') : [],
    // Absent means true (EndpointConditions); a terminating endpoint is never ready, unless the Service publishes all.
    isReady: conditions.ready !== false,
    pod: target.kind === 'Pod' ? textOf(target.name) : '',
    hostname: textOf(endpoint.hostname),
  };
}

export function clusterPodOf(object: { readonly [key: string]: unknown }): ClusterPod | undefined {
  const metadata = metadataOf(object);
  if (metadata === undefined) return undefined;
  const spec = isRecord(object.spec) ? object.spec : {};
  const status = isRecord(object.status) ? object.status : {};
  const phase = textOf(status.phase);
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    labels: metadata.labels,
    serviceAccount: textOf(spec.serviceAccountName) || 'default',
    isHostNetwork: spec.hostNetwork === true,
    isAlive: phase !== 'Succeeded' && phase !== 'Failed',
    addresses: recordsOf(status.podIPs).map(({ ip }) => textOf(ip)),
    injected: injectionOf(metadata),
  };
}

/** Undefined also where the annotation is not of the injector's making. */
function injectionOf({ annotations }: ObjectMetadata): Injection | undefined {
  const text = annotations[INJECTED];
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const inbound = Object.entries(isRecord(value.inbound) ? value.inbound : {});
  return {
    interception: value.interception === 'none' ? 'none' : 'redirect',
    // as the injector takes them: what it would refuse excludes nothing
    excludedPorts: readPodChoices(annotations).choices.excludeInboundPorts,
    inbound: Object.fromEntries(inbound.filter((entry): entry is [string, number] => isPort(entry[1]))),
  };
}

/** All keys of a ConfigMap. */
export function configMapValuesOf(object: { readonly [key: string]: unknown }): {
  readonly [key: string]: DocumentPart;
} {
  const binary = Object.entries(textsOf(object.binaryData)).map(([key, text]) => [
    key,
    { text, isBase64: true as const },
  ]);
  const text = Object.entries(textsOf(object.data)).map(([key, text]) => [key, { text }]);
  return Object.fromEntries([...binary, ...text]);
}

/** Data of a ConfigMap, text keys alone. */
export function configMapDataOf(object: { readonly [key: string]: unknown }): { readonly [key: string]: string } {
  return textsOf(object.data);
}
