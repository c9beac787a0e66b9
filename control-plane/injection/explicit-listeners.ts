import { type JsonObject, objectsAt, textAt } from './json-object.ts';
import { ADMIN_PORT, FIRST_EXPLICIT_PORT, INBOUND_PORT, METRICS_PORT, OUTBOUND_PORT } from './names.ts';
import type { AppProtocol, PodChoices } from './pod-choices.ts';

/** What SidecarConfig takes. */
export const MAX_LISTENERS = 64;

/** In mode `none`: where the mesh reaches one port of the app. */
export interface ExplicitListener {
  readonly appPort: number;
  readonly listenerPort: number;
  readonly protocol: AppProtocol | 'auto';
}

/** The TCP ports that the containers declare, each once, in order. */
export function declaredPorts(containers: readonly JsonObject[]): number[] {
  const ports = containers
    .flatMap((container) => objectsAt(container, 'ports'))
    .filter((port) => (textAt(port, 'protocol') ?? 'TCP') === 'TCP')
    .map((port) => port['containerPort'])
    .filter((port) => typeof port === 'number');
  return [...new Set(ports)];
}

/** Ports of the pod that the sidecar needs for itself in that mode. */
export function reservedPorts(interception: PodChoices['interception']): readonly number[] {
  const both = [ADMIN_PORT, OUTBOUND_PORT, METRICS_PORT];
  return interception === 'redirect' ? [...both, INBOUND_PORT] : both;
}

/** One listener for each declared port that is not excluded; a port that the app itself declares is passed over. */
export function explicitListeners(ports: readonly number[], choices: PodChoices): ExplicitListener[] {
  let next = FIRST_EXPLICIT_PORT;
  return ports
    .filter((port) => !choices.excludeInboundPorts.includes(port))
    .map((appPort) => {
      while (ports.includes(next)) next++;
      const protocol = choices.protocols.find(({ port }) => port === appPort)?.protocol ?? 'auto';
      return { appPort, listenerPort: next++, protocol };
    });
}
