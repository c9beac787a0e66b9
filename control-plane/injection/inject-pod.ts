import { completeInjection } from './complete-injection.ts';
import { initContainer, sidecarContainer, sidecarVolumes } from './containers.ts';
import { declaredPorts, type ExplicitListener, explicitListeners } from './explicit-listeners.ts';
import { findObstacles } from './find-obstacles.ts';
import { type InjectionSettings, usesNativeSidecar } from './injection-configuration.ts';
import { type JsonObject, objectAt, objectsAt, textAt, textsAt } from './json-object.ts';
import { INJECTED, METRICS_PORT } from './names.ts';
import { type PodChoices, readPodChoices } from './pod-choices.ts';
import { preStopSeconds, withPreStop } from './pre-stop.ts';
import { withProxyEnvironment } from './proxy-environment.ts';
import { rewriteProbes } from './rewrite-probes.ts';
import { sidecarSettings } from './sidecar-settings.ts';
import { injectComplaint, isInjected, skipReason } from './skip-reason.ts';

/** Warnings are for whoever makes the pod; complaints say what to change. */
export type Injection =
  | { readonly kind: 'injected'; readonly pod: JsonObject; readonly warnings: readonly string[] }
  | { readonly kind: 'skipped'; readonly reason: string; readonly warnings: readonly string[] }
  | { readonly kind: 'refused'; readonly complaints: readonly string[] };

/** Linux takes 128 KiB for one environment variable (MAX_ARG_STRLEN); a container with more does not start. */
const MAX_CONFIGURATION_BYTES = 100 * 1024;

/**
 * Makes a pod part of the mesh: the same pod with the sidecar, its init container, volumes, status annotation, and the probes
 * led through the sidecar. A second run changes nothing, but for the probes of containers that came in between. Nothing but the
 * arguments counts.
 */
export function injectPod(pod: JsonObject, namespace: string, settings: InjectionSettings): Injection {
  const complaint = injectComplaint(pod);
  if (complaint !== undefined) return { kind: 'refused', complaints: [complaint] };
  const skip = skipReason(pod, namespace, settings.mesh.rootNamespace);
  if (skip !== undefined) return { kind: 'skipped', ...skip };
  if (isInjected(pod)) {
    const completion = completeInjection(pod, settings.newKey);
    if (completion.kind === 'broken') return { kind: 'refused', complaints: [completion.complaint] };
    if (completion.kind === 'completed') return { kind: 'injected', pod: completion.pod, warnings: [] };
    return { kind: 'skipped', reason: 'already injected', warnings: [] };
  }
  const { choices, complaints, warnings } = readPodChoices(textsAt(objectAt(pod, 'metadata'), 'annotations'));
  const obstacles = [...complaints, ...findObstacles(pod, choices)];
  if (obstacles.length > 0) return { kind: 'refused', complaints: obstacles };
  const injected = withSidecar(pod, choices, settings);
  if (injected.configurationBytes > MAX_CONFIGURATION_BYTES) {
    const size = `${injected.configurationBytes} bytes exceed the limit of ${MAX_CONFIGURATION_BYTES}`;
    return {
      kind: 'refused',
      complaints: [`the sidecar's configuration: ${size}; shorten the headers and paths of probes`],
    };
  }
  return { kind: 'injected', pod: injected.pod, warnings: [...warnings, ...injected.warnings] };
}

function withSidecar(pod: JsonObject, choices: PodChoices, settings: InjectionSettings) {
  const spec = objectAt(pod, 'spec');
  const isNative = usesNativeSidecar(settings);
  const isRedirected = choices.interception === 'redirect';
  const warnings: string[] = [];
  const probes: JsonObject[] = [];
  const changed = (container: JsonObject, hasProxy: boolean): JsonObject => {
    const rewritten = rewriteProbes(container, settings.newKey);
    probes.push(...rewritten.probes);
    warnings.push(...rewritten.warnings);
    if (isRedirected || !hasProxy) return rewritten.container;
    return withProxyEnvironment(rewritten.container, choices.excludeOutboundCidrs);
  };
  const waits = preStopSeconds(spec, settings);
  const containers = objectsAt(spec, 'containers').map((container) => withPreStop(changed(container, true), waits));
  const initContainers = objectsAt(spec, 'initContainers').map((container) => changed(container, isNative));
  const listeners = isRedirected
    ? []
    : explicitListeners(declaredPorts([...containers, ...lasting(initContainers)]), choices);
  if (!isRedirected) warnings.push(...explicitWarnings(listeners, choices));
  const labels = textsAt(objectAt(pod, 'metadata'), 'labels');
  const text = sidecarSettings({ labels, choices, listeners, probes }, settings);
  const isHeld = isNative && isRedirected;
  const sidecar = sidecarContainer(text, choices, settings, { isNative, isHeld });
  const init = isRedirected ? [initContainer(choices, settings, isHeld)] : [];
  const inits = isNative ? [sidecar, ...init, ...initContainers] : [...initContainers, ...init];
  return {
    warnings,
    configurationBytes: Buffer.byteLength(text),
    pod: {
      ...pod,
      metadata: annotated(pod, { choices, listeners, isNative }, settings),
      spec: {
        ...spec,
        ...(inits.length === 0 ? {} : { initContainers: inits }),
        containers: isNative ? containers : [sidecar, ...containers],
        volumes: [...objectsAt(spec, 'volumes'), ...sidecarVolumes()],
      },
    },
  };
}

interface Result {
  readonly choices: PodChoices;
  readonly listeners: readonly ExplicitListener[];
  readonly isNative: boolean;
}

function annotated(
  pod: JsonObject,
  { choices, listeners, isNative }: Result,
  { version }: InjectionSettings,
): JsonObject {
  const metadata = objectAt(pod, 'metadata');
  const annotations = textsAt(metadata, 'annotations');
  const { interception } = choices;
  const inbound = Object.fromEntries(listeners.map(({ appPort, listenerPort }) => [appPort, listenerPort]));
  const status = interception === 'none' ? { version, interception, inbound } : { version, interception };
  return {
    ...metadata,
    annotations: {
      ...annotations,
      ...(Object.keys(annotations).some((name) => name.startsWith('prometheus.io/')) ? {} : scraped()),
      // else `kubectl logs` and `exec` would choose the sidecar, which stands first
      ...(isNative ? {} : defaultContainer(pod, annotations)),
      [INJECTED]: JSON.stringify(status),
    },
  };
}

function scraped(): JsonObject {
  return {
    'prometheus.io/scrape': 'true',
    'prometheus.io/port': String(METRICS_PORT),
    'prometheus.io/path': '/metrics',
  };
}

function defaultContainer(pod: JsonObject, annotations: JsonObject): JsonObject {
  const name = 'kubectl.kubernetes.io/default-container';
  const first = textAt(objectsAt(objectAt(pod, 'spec'), 'containers')[0] ?? {}, 'name');
  return annotations[name] !== undefined || first === undefined ? {} : { [name]: first };
}

/** Init containers that run beside the app. */
function lasting(initContainers: readonly JsonObject[]): JsonObject[] {
  return initContainers.filter((container) => container['restartPolicy'] === 'Always');
}

/** Without redirection nothing but the app itself or the network keeps a caller from going round the sidecar. */
function explicitWarnings(listeners: readonly ExplicitListener[], choices: PodChoices): string[] {
  const ports = listeners.map(({ appPort }) => appPort).join(', ');
  return [
    ...(listeners.length === 0
      ? ['interception none: no container declares a TCP port, so the mesh can call none']
      : [
          `interception none: calls to the pod's address on port ${ports} go round the sidecar, unless the app listens on 127.0.0.1 only or a NetworkPolicy guards the port`,
        ]),
    ...(choices.excludeOutboundPorts.length === 0
      ? []
      : ['interception none: exclude-outbound-ports has no effect; name hosts in NO_PROXY instead']),
  ];
}
