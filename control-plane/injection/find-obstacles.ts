import { declaredPorts, explicitListeners, MAX_LISTENERS, reservedPorts } from './explicit-listeners.ts';
import { type JsonObject, objectAt, objectsAt, textAt } from './json-object.ts';
import { INIT_CONTAINER, INJECT, SIDECAR_CONTAINER, SIDECAR_UID, STATE_VOLUME, TOKEN_VOLUME } from './names.ts';
import type { PodChoices } from './pod-choices.ts';

/** Sidecars of other meshes: two that redirect the same traffic leave none of it whole. */
const FOREIGN_SIDECARS: ReadonlyMap<string, string> = new Map([
  ['istio-proxy', 'sidecar.istio.io/inject: "false"'],
  ['linkerd-proxy', 'linkerd.io/inject: disabled'],
]);

/** What keeps a pod from working with a sidecar, in sentences that say what to change. */
export function findObstacles(pod: JsonObject, choices: PodChoices): string[] {
  const spec = objectAt(pod, 'spec');
  const containers = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')];
  return [
    ...takenNames(spec, containers),
    ...foreignSidecars(containers),
    ...(choices.interception === 'redirect' ? takenUser(spec, containers) : []),
    ...takenPorts(containers, choices),
  ];
}

function takenNames(spec: JsonObject, containers: readonly JsonObject[]): string[] {
  const taken = (items: readonly JsonObject[], names: readonly string[], what: string) =>
    items
      .map((item) => textAt(item, 'name') ?? '')
      .filter((name) => names.includes(name))
      .map((name) => `${what} ${name}: the name is the sidecar's; choose another`);
  return [
    ...taken(containers, [INIT_CONTAINER, SIDECAR_CONTAINER], 'container'),
    ...taken(objectsAt(spec, 'volumes'), [STATE_VOLUME, TOKEN_VOLUME], 'volume'),
  ];
}

function foreignSidecars(containers: readonly JsonObject[]): string[] {
  return containers.flatMap((container) => {
    const name = textAt(container, 'name') ?? '';
    const remedy = FOREIGN_SIDECARS.get(name);
    if (remedy === undefined) return [];
    return [`container ${name}: the sidecar of another mesh; set ${remedy} to be rid of it, or ${INJECT}: "false"`];
  });
}

/** What that user sends is not redirected, so the app's calls would go round the mesh. */
function takenUser(spec: JsonObject, containers: readonly JsonObject[]): string[] {
  const podUser = objectAt(spec, 'securityContext')['runAsUser'];
  return containers
    .filter((container) => (objectAt(container, 'securityContext')['runAsUser'] ?? podUser) === SIDECAR_UID)
    .map(
      (container) =>
        `container ${textAt(container, 'name') ?? ''}: runAsUser ${SIDECAR_UID} is the sidecar's, whose traffic is not redirected; choose another`,
    );
}

function takenPorts(containers: readonly JsonObject[], choices: PodChoices): string[] {
  const ports = declaredPorts(containers);
  const reserved = reservedPorts(choices.interception);
  const complaints = ports
    .filter((port) => reserved.includes(port))
    .map((port) => `containerPort ${port}: the sidecar listens there; choose another`);
  const listeners = choices.interception === 'none' ? explicitListeners(ports, choices).length : 0;
  if (listeners > MAX_LISTENERS) {
    complaints.push(`${listeners} ports exceed the limit of ${MAX_LISTENERS} of mode none; exclude some`);
  }
  return complaints;
}
