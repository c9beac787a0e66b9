import { type JsonObject, objectAt, objectsAt, textAt, textsAt } from '#control-plane/injection/json-object.ts';
import { INTERCEPTION } from '#control-plane/injection/names.ts';
import type { Path } from '#policy/schema/schema.ts';

/**
 * Where in a pod stands what the injector says something about. It speaks in sentences, and names what it means: the
 * annotation or label, the container, the port. Empty: the pod as a whole.
 */
export function blamedPath(pod: JsonObject, message: string): Path {
  return blamedMetadata(pod, message) ?? blamedPort(pod, message) ?? blamedContainer(pod, message) ?? [];
}

function blamedMetadata(pod: JsonObject, message: string): Path | undefined {
  const [, field, name = ''] = /^(annotation|label) ([^\s:]+)/.exec(message) ?? [];
  const metadata = objectAt(pod, 'metadata');
  const kind = field === 'label' ? 'labels' : 'annotations';
  const blamed = message.startsWith('interception ') ? INTERCEPTION : name;
  return Object.hasOwn(textsAt(metadata, kind), blamed) ? ['metadata', kind, blamed] : undefined;
}

function blamedPort(pod: JsonObject, message: string): Path | undefined {
  const [, port] = /^containerPort (\d+):/.exec(message) ?? [];
  if (port === undefined) return undefined;
  return firstOf(pod, (container, path) => {
    const index = objectsAt(container, 'ports').findIndex(({ containerPort }) => containerPort === Number(port));
    return index < 0 ? undefined : [...path, 'ports', index];
  });
}

function blamedContainer(pod: JsonObject, message: string): Path | undefined {
  const [, name] = /^(?:container )?([^\s:]+):/.exec(message) ?? [];
  return firstOf(pod, (container, path) => (textAt(container, 'name') === name ? path : undefined));
}

function firstOf(pod: JsonObject, find: (container: JsonObject, path: Path) => Path | undefined): Path | undefined {
  for (const list of ['initContainers', 'containers']) {
    for (const [index, container] of objectsAt(objectAt(pod, 'spec'), list).entries()) {
      const path = find(container, ['spec', list, index]);
      if (path !== undefined) return path;
    }
  }
  return undefined;
}
