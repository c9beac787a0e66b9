import type { ExplicitListener } from './explicit-listeners.ts';
import { controlPlaneAddressOf, type InjectionSettings } from './injection-configuration.ts';
import { ADMIN_PORT, INBOUND_PORT, METRICS_PORT, OUTBOUND_PORT, STATE_DIRECTORY, TOKEN_DIRECTORY } from './names.ts';
import type { PodChoices } from './pod-choices.ts';
import type { RewrittenProbe } from './rewrite-probes.ts';

/** A container's environment variable, which Kubernetes puts in the place of `$(NAME)` when the container starts. */
class FromEnvironment {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** What is known only once the pod runs; by the names of the sidecar container's environment. */
const POD = {
  name: new FromEnvironment('POD_NAME'),
  namespace: new FromEnvironment('POD_NAMESPACE'),
  serviceAccount: new FromEnvironment('SERVICE_ACCOUNT'),
  address: new FromEnvironment('POD_IP'),
};

/** The environment that POD refers to, before the variable that does so (Kubernetes resolves backwards only). */
export const POD_ENVIRONMENT = [
  ['POD_NAME', 'metadata.name'],
  ['POD_NAMESPACE', 'metadata.namespace'],
  ['SERVICE_ACCOUNT', 'spec.serviceAccountName'],
  ['POD_IP', 'status.podIP'],
].map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath } } }));

/** What the configuration of one pod's sidecar is made of. */
export interface SidecarFacts {
  readonly labels: { readonly [name: string]: string };
  readonly choices: PodChoices;
  /** Mode `none` only. */
  readonly listeners: readonly ExplicitListener[];
  readonly probes: readonly RewrittenProbe[];
}

/** The SidecarConfig of a pod, as the text of an environment variable in the pod. */
export function sidecarSettings(facts: SidecarFacts, settings: InjectionSettings): string {
  const { configuration, mesh, rootCertificatesPem } = settings;
  const { choices, labels, probes } = facts;
  const isRedirected = choices.interception === 'redirect';
  const { otlp, sampleRatio } = configuration.telemetry;
  const { name, namespace, serviceAccount, address } = POD;
  return environmentText({
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'SidecarConfig',
    // without redirection the app is called on loopback, as it must not listen on the pod's address
    workload: { name, namespace, serviceAccount, labels, ...(isRedirected ? { address } : {}) },
    trustDomain: mesh.trustDomain,
    rootNamespace: mesh.rootNamespace,
    stateDirectory: STATE_DIRECTORY,
    controlPlane: {
      // a pod that chooses it chooses a way, not whom to believe: the roots are these
      address: choices.controlPlaneAddress ?? controlPlaneAddressOf(settings),
      trustBundle: rootCertificatesPem,
      tokenFile: `${TOKEN_DIRECTORY}/token`,
    },
    inbound: isRedirected ? [redirectedListener(choices)] : facts.listeners.map(explicitListener),
    outbound: { port: OUTBOUND_PORT },
    interception: choices.interception,
    admin: { port: ADMIN_PORT },
    metrics: { port: METRICS_PORT, address: '::' },
    telemetry: { ...(otlp === undefined ? {} : { otlp }), sampleRatio, accessLog: configuration.accessLog },
    ...(probes.length === 0 ? {} : { probes }),
  });
}

function redirectedListener({ protocols }: PodChoices): object {
  const ports = Object.fromEntries(protocols.map(({ port, protocol }) => [port, protocol]));
  return { port: INBOUND_PORT, protocol: 'auto', ...(protocols.length === 0 ? {} : { ports }) };
}

function explicitListener({ appPort, listenerPort, protocol }: ExplicitListener): object {
  return { port: listenerPort, address: POD.address, app: `127.0.0.1:${appPort}`, protocol };
}

/** The sidecar container's variable that holds its SidecarConfig. */
export const CONFIGURATION_VARIABLE = 'LATERAL_CONFIG';

/** JSON in which `$` of our own text is doubled, so that Kubernetes expands nothing but what is meant. */
export function environmentText(value: object): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part instanceof FromEnvironment) return `$(${part.name})`;
    return typeof part === 'string' ? part.replaceAll('$', '$$$$') : part;
  });
}
