import { isRecord } from '#policy/schema/schema.ts';
import { type JsonObject, objectAt, objectsAt, textAt } from './json-object.ts';
import { SIDECAR_CONTAINER } from './names.ts';
import { type RewrittenProbe, rewriteProbes } from './rewrite-probes.ts';
import { CONFIGURATION_VARIABLE, environmentText } from './sidecar-settings.ts';

type Containers = readonly JsonObject[];

export type Completion =
  | { readonly kind: 'completed'; readonly pod: JsonObject }
  /** No probes came after the injection. */
  | { readonly kind: 'complete' }
  /** The sidecar's configuration cannot take them; `complaint` says why. */
  | { readonly kind: 'broken'; readonly complaint: string };

/**
 * Leads the probes of containers that were added after the injection, by other webhooks, through the sidecar as well. Nothing
 * else of an injected pod is touched.
 */
export function completeInjection(pod: JsonObject, newKey: () => string): Completion {
  const spec = objectAt(pod, 'spec');
  const probes: RewrittenProbe[] = [];
  const rewritten = (list: Containers) =>
    list.map((container) => {
      if (container['name'] === SIDECAR_CONTAINER) return container;
      const { container: changed, probes: found } = rewriteProbes(container, newKey);
      probes.push(...found);
      return changed;
    });
  const containers = rewritten(objectsAt(spec, 'containers'));
  const initContainers = rewritten(objectsAt(spec, 'initContainers'));
  if (probes.length === 0) return { kind: 'complete' };
  const sidecars = [...containers, ...initContainers].filter(({ name }) => name === SIDECAR_CONTAINER);
  const variables = sidecars.flatMap((sidecar) => objectsAt(sidecar, 'env')).filter(isConfiguration);
  if (variables.length === 0 || !variables.every((variable) => configurationOf(variable) !== undefined)) {
    return { kind: 'broken', complaint: BROKEN };
  }
  const informed = (list: Containers) => list.map((container) => withProbes(container, probes));
  const completed = {
    ...pod,
    spec: {
      ...spec,
      ...(initContainers.length === 0 ? {} : { initContainers: informed(initContainers) }),
      containers: informed(containers),
    },
  };
  return { kind: 'completed', pod: completed };
}

const BROKEN =
  `container ${SIDECAR_CONTAINER}: the environment variable ${CONFIGURATION_VARIABLE} is not the mapping in JSON that the ` +
  'injection wrote, so that it cannot take the probes of containers added since; make the pod from a manifest without the sidecar';

function isConfiguration(variable: JsonObject): boolean {
  return variable['name'] === CONFIGURATION_VARIABLE;
}

/** Undefined: nothing that the injection wrote. */
function configurationOf(variable: JsonObject): JsonObject | undefined {
  try {
    const configuration: unknown = JSON.parse(textAt(variable, 'value') ?? '');
    return isRecord(configuration) ? configuration : undefined;
  } catch {
    return undefined;
  }
}

function withProbes(container: JsonObject, probes: readonly RewrittenProbe[]): JsonObject {
  if (container['name'] !== SIDECAR_CONTAINER) return container;
  const env = objectsAt(container, 'env').map((variable) => {
    const configuration = isConfiguration(variable) ? configurationOf(variable) : undefined;
    return configuration === undefined ? variable : { ...variable, value: withMoreProbes(configuration, probes) };
  });
  return { ...container, env };
}

/** The text is JSON whose `$` are Kubernetes' to expand: what is added is written the same way. */
function withMoreProbes(configuration: JsonObject, more: readonly RewrittenProbe[]): string {
  const added: unknown[] = JSON.parse(environmentText(more));
  return JSON.stringify({ ...configuration, probes: [...objectsAt(configuration, 'probes'), ...added] });
}
