import { isRecord } from '#policy/schema/schema.ts';
import { type JsonObject, objectAt, objectsAt, textAt } from './json-object.ts';
import { SIDECAR_CONTAINER } from './names.ts';
import { type RewrittenProbe, rewriteProbes } from './rewrite-probes.ts';
import { CONFIGURATION_VARIABLE, environmentText } from './sidecar-settings.ts';

type Containers = readonly JsonObject[];

/**
 * Leads the probes of containers that were added after the injection, by other webhooks, through the sidecar as well; undefined
 * where there are none. Nothing else of an injected pod is touched.
 */
export function completeInjection(pod: JsonObject, newKey: () => string): JsonObject | undefined {
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
  if (probes.length === 0) return undefined;
  const informed = (list: Containers) => list.map((container) => withProbes(container, probes));
  return {
    ...pod,
    spec: {
      ...spec,
      ...(initContainers.length === 0 ? {} : { initContainers: informed(initContainers) }),
      containers: informed(containers),
    },
  };
}

function withProbes(container: JsonObject, probes: readonly RewrittenProbe[]): JsonObject {
  if (container['name'] !== SIDECAR_CONTAINER) return container;
  const env = objectsAt(container, 'env').map((variable) =>
    variable['name'] === CONFIGURATION_VARIABLE
      ? { ...variable, value: withMoreProbes(textAt(variable, 'value') ?? '', probes) }
      : variable,
  );
  return { ...container, env };
}

/** The text is JSON whose `$` are Kubernetes' to expand: what is added is written the same way. */
function withMoreProbes(text: string, more: readonly RewrittenProbe[]): string {
  const configuration: unknown = JSON.parse(text);
  if (!isRecord(configuration)) throw new Error(`${CONFIGURATION_VARIABLE}: expected a mapping`);
  const added: unknown[] = JSON.parse(environmentText(more));
  return JSON.stringify({ ...configuration, probes: [...objectsAt(configuration, 'probes'), ...added] });
}
