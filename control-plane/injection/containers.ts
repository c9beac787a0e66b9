import type { InjectionSettings } from './injection-configuration.ts';
import type { JsonObject } from './json-object.ts';
import {
  INIT_CONTAINER,
  METRICS_PORT,
  PROGRAM,
  SIDECAR_CONTAINER,
  SIDECAR_UID,
  STATE_MOUNT,
  STATE_VOLUME,
  TOKEN_AUDIENCE,
  TOKEN_DIRECTORY,
  TOKEN_VOLUME,
} from './names.ts';
import type { PodChoices } from './pod-choices.ts';
import { quantityValue } from './quantity.ts';
import { CONFIGURATION_VARIABLE, POD_ENVIRONMENT } from './sidecar-settings.ts';

/** Renewed by the kubelet when four fifths of it are over. */
const TOKEN_LIFETIME_SECONDS = 43_200;
/** Key, chain and last snapshot of one workload; it counts towards the sidecar's memory. */
const STATE_LIMIT = '64Mi';
/** A sidecar that waits for its control plane is not started again before this: that would bring nothing. */
const STARTUP_FAILURES = 600;
const READINESS_PERIOD_SECONDS = 5;
/** Shorter than the probe's own timeout of 1 s: it answers the moment that it is ready. */
const STARTUP_PATH = '/readyz?waitMs=900';

const RESTRICTED = {
  allowPrivilegeEscalation: false,
  privileged: false,
  readOnlyRootFilesystem: true,
  seccompProfile: { type: 'RuntimeDefault' },
};

/** Redirects the pod's traffic, and ends. `isBehindSidecar`: not before that serves, so that it holds back all that come after. */
export function initContainer(
  choices: PodChoices,
  { configuration }: InjectionSettings,
  isBehindSidecar: boolean,
): JsonObject {
  const excluded = (name: string, values: readonly (number | string)[]) =>
    values.length === 0 ? [] : [name, values.join(',')];
  return {
    name: INIT_CONTAINER,
    ...image(configuration),
    args: [
      'init',
      ...(isBehindSidecar ? ['--wait-ready'] : []),
      ...excluded('--exclude-inbound-ports', choices.excludeInboundPorts),
      ...excluded('--exclude-outbound-ports', choices.excludeOutboundPorts),
      ...excluded('--exclude-outbound-cidrs', choices.excludeOutboundCidrs),
    ],
    resources: configuration.initResources,
    securityContext: {
      ...RESTRICTED,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] },
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
    },
  };
}

/**
 * The proxy. `isNative`: as an init container that goes on, else as the first of the containers. Those behind it are held back
 * until it serves: by lateral-init where there is one (`isHeld`), else by a probe or a hook.
 */
export function sidecarContainer(
  configurationText: string,
  choices: PodChoices,
  { configuration }: InjectionSettings,
  { isNative, isHeld }: { readonly isNative: boolean; readonly isHeld: boolean },
): JsonObject {
  return {
    name: SIDECAR_CONTAINER,
    ...image(configuration),
    args: ['sidecar', '--config', `env:${CONFIGURATION_VARIABLE}`],
    env: [...POD_ENVIRONMENT, { name: CONFIGURATION_VARIABLE, value: configurationText }],
    ports: [{ name: SCRAPED_PORT_NAME, containerPort: METRICS_PORT, protocol: 'TCP' }],
    ...(isNative ? nativeLife(isHeld) : classicLife(configuration.drainSeconds)),
    readinessProbe: { httpGet: agentGet('/readyz'), periodSeconds: READINESS_PERIOD_SECONDS, timeoutSeconds: 1 },
    resources: sidecarResources(choices, configuration.resources),
    securityContext: {
      ...RESTRICTED,
      capabilities: { drop: ['ALL'] },
      runAsUser: SIDECAR_UID,
      runAsGroup: SIDECAR_UID,
      runAsNonRoot: true,
    },
    volumeMounts: [
      { name: STATE_VOLUME, mountPath: STATE_MOUNT },
      { name: TOKEN_VOLUME, mountPath: TOKEN_DIRECTORY, readOnly: true },
    ],
  };
}

/** Name of the port that a PodMonitor selects. */
const SCRAPED_PORT_NAME = 'lateral-metrics';

/** What the sidecar writes, in memory, and its token for the control plane, of an audience of its own. */
export function sidecarVolumes(): readonly JsonObject[] {
  const token = { audience: TOKEN_AUDIENCE, expirationSeconds: TOKEN_LIFETIME_SECONDS, path: 'token' };
  return [
    { name: STATE_VOLUME, emptyDir: { medium: 'Memory', sizeLimit: STATE_LIMIT } },
    { name: TOKEN_VOLUME, projected: { sources: [{ serviceAccountToken: token }] } },
  ];
}

function image({ image, imagePullPolicy }: InjectionSettings['configuration']): JsonObject {
  return { image, ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }) };
}

/**
 * It ends after all others. The kubelet looks at containers once a second: where lateral-init waits for the sidecar anyhow, a
 * startup probe would only cost the pod another second.
 */
function nativeLife(isHeld: boolean): JsonObject {
  if (isHeld) return { restartPolicy: 'Always' };
  return {
    restartPolicy: 'Always',
    startupProbe: {
      httpGet: agentGet(STARTUP_PATH),
      periodSeconds: 1,
      timeoutSeconds: 1,
      failureThreshold: STARTUP_FAILURES,
    },
  };
}

/** Containers start in order, each after the hook of the one before; at the end all are told at once. */
function classicLife(drainSeconds: number): JsonObject {
  const postStart = { exec: { command: [PROGRAM, 'sidecar', '--wait-ready'] } };
  const preStop = { exec: { command: [PROGRAM, 'sidecar', '--linger', String(drainSeconds)] } };
  return { lifecycle: drainSeconds === 0 ? { postStart } : { postStart, preStop } };
}

function agentGet(path: string): JsonObject {
  return { path, port: METRICS_PORT, scheme: 'HTTP' };
}

/** What the pod says goes before what is configured; a configured limit below the pod's request would make the pod invalid. */
function sidecarResources(
  choices: PodChoices,
  { requests, limits }: InjectionSettings['configuration']['resources'],
): JsonObject {
  const own = {
    requests: named(choices.cpu, choices.memory),
    limits: named(choices.cpuLimit, choices.memoryLimit),
  };
  const wanted = { ...requests, ...own.requests };
  const kept = Object.entries(limits).map(([name, limit]) => {
    const request = wanted[name];
    return [name, request !== undefined && quantityValue(request) > quantityValue(limit) ? request : limit];
  });
  return { requests: wanted, limits: { ...Object.fromEntries(kept), ...own.limits } };
}

function named(cpu: string | undefined, memory: string | undefined): { readonly [name: string]: string } {
  return { ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) };
}
