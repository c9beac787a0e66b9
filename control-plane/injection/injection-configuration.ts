import { randomBytes } from 'node:crypto';
import {
  choice,
  defaulted,
  described,
  type Infer,
  integer,
  map,
  number,
  object,
  optional,
  required,
  string,
} from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { quantity } from './quantity.ts';

/** Kubernetes from here on keeps init containers with `restartPolicy: Always` running (1.29, on by default). */
const FIRST_NATIVE = { major: 1, minor: 29 };

const HOST_AND_PORT = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]):([1-9]\d{0,4})$/i;

/** What is wrong with an address of the control plane; undefined: nothing. */
export function hostPortComplaint(value: string): string | undefined {
  const port = Number(HOST_AND_PORT.exec(value)?.[1] ?? 0);
  if (port >= 1 && port <= 65_535) return undefined;
  return `${JSON.stringify(value)} is not HOST:PORT, e.g. lateral.svc:15012`;
}

const hostPort = string({
  description: 'HOST:PORT of the control plane; default lateral-control-plane.ROOT-NAMESPACE.svc:15012.',
  check: hostPortComplaint,
});

const collector = string({
  description: 'Collector that takes OTLP over gRPC, e.g. http://jaeger.monitoring:4317; absent: no export.',
  check: (value) =>
    /^https?:\/\/[^/\s]+$/.test(value) ? undefined : `${JSON.stringify(value)} is not http://HOST:PORT`,
});

/** Requests and limits of one container, each part with a default of its own. */
function resources(requests: { [name: string]: string }, limits: { [name: string]: string }) {
  return object({ requests: defaulted(map(quantity), requests), limits: defaulted(map(quantity), limits) });
}

const SIDECAR_RESOURCES = { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '512Mi' } };
const INIT_RESOURCES = { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '128Mi' } };

/** The `injection` section of ControlPlaneConfig: how a pod is made part of the mesh. */
export const INJECTION_CONFIGURATION = object({
  image: required(string({ description: 'Image of the containers lateral-init and lateral-sidecar.' })),
  imagePullPolicy: optional(
    choice(['Always', 'IfNotPresent', 'Never'], { description: "Kubernetes' imagePullPolicy." }),
  ),
  controlPlaneAddress: optional(hostPort),
  telemetry: defaulted(
    object({
      otlp: optional(collector),
      sampleRatio: defaulted(
        number({
          minimum: 0,
          maximum: 1,
          description: 'Share of the traces that begin at a sidecar which are recorded.',
        }),
        1,
      ),
    }),
    { otlp: undefined, sampleRatio: 1 },
  ),
  accessLog: defaulted(
    choice(['stdout', 'off'], { description: 'The access log of every sidecar.' }),
    'stdout' as const,
  ),
  resources: defaulted(
    described(resources(SIDECAR_RESOURCES.requests, SIDECAR_RESOURCES.limits), 'Of lateral-sidecar.'),
    SIDECAR_RESOURCES,
  ),
  initResources: defaulted(
    described(resources(INIT_RESOURCES.requests, INIT_RESOURCES.limits), 'Of lateral-init.'),
    INIT_RESOURCES,
  ),
  nativeSidecar: defaulted(
    choice(['auto', 'always', 'never'], {
      description:
        'Whether the sidecar is an init container with restartPolicy Always (Jobs complete, init containers have the mesh). auto: from Kubernetes 1.29 on.',
    }),
    'auto' as const,
  ),
  drainSeconds: defaulted(
    integer({
      minimum: 0,
      maximum: 300,
      description:
        'Without native sidecars: how long a sidecar goes on after its pod was told to end, so that the app can end first.',
    }),
    5,
  ),
  preStopSeconds: defaulted(
    integer({
      minimum: 0,
      maximum: 300,
      description:
        'An app whose pod is told to end goes on serving for this long (a preStop hook for each container without one, from Kubernetes 1.30 on; at most half of the grace period), so that callers learn of it first. 0: no hook.',
    }),
    2,
  ),
});

export type InjectionConfiguration = Infer<typeof INJECTION_CONFIGURATION>;

/** Random bytes of a key of InjectionSettings. */
const KEY_BYTES = 16;

/** A key as InjectionSettings has them, of the system's randomness. */
export function randomKey(): string {
  return randomBytes(KEY_BYTES).toString('hex');
}

/** Everything besides the pod that the injected form depends on. */
export interface InjectionSettings {
  readonly configuration: InjectionConfiguration;
  readonly mesh: Mesh;
  /** What sidecars trust their control plane by; PEM, all roots that are valid. */
  readonly rootCertificatesPem: string;
  /** Of Lateral; stands in the pod's status annotation. */
  readonly version: string;
  /** Of the API server, e.g. `v1.34.4`; undefined: not known. */
  readonly kubernetesVersion: string | undefined;
  /** A word nobody can guess, new each time: what a pod's sidecar does for the kubelet and for nobody else is asked with it. */
  readonly newKey: () => string;
}

/** True where the sidecar is to be a native one; a version that is not known or cannot be read has none. */
export function usesNativeSidecar({ configuration, kubernetesVersion }: InjectionSettings): boolean {
  if (configuration.nativeSidecar !== 'auto') return configuration.nativeSidecar === 'always';
  return isAtLeast(kubernetesVersion, FIRST_NATIVE);
}

/** False for a version that is not known or cannot be read. */
export function isAtLeast(
  version: string | undefined,
  first: { readonly major: number; readonly minor: number },
): boolean {
  const match = /^v?(\d+)\.(\d+)/.exec(version ?? '');
  if (match === null) return false;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return major > first.major || (major === first.major && minor >= first.minor);
}

export function controlPlaneAddressOf({ configuration, mesh }: InjectionSettings): string {
  return configuration.controlPlaneAddress ?? `lateral-control-plane.${mesh.rootNamespace}.svc:15012`;
}
