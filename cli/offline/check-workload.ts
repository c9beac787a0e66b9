import { injectManifest, type ManifestInjection } from '#control-plane/injection/inject-manifest.ts';
import type { JsonObject } from '#control-plane/injection/json-object.ts';
import type { PlacedDocument } from '#policy/load-resources.ts';
import type { Problem } from '#policy/problem.ts';
import { givenOf, problemAt } from '#policy/resource/sourced-resource.ts';
import { MAX_DOCUMENT_PROBLEMS } from '#policy/schema/document-context.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { blamedPath } from './blamed-path.ts';
import { defaultInjection } from './default-injection.ts';
import { withMergedKeys } from './merged-keys.ts';

/** Where Kubernetes puts an object that names no namespace. */
export const DEFAULT_NAMESPACE = 'default';

/** What the injector says of the pods of a manifest. */
export interface WorkloadFindings {
  /** Pods and pod templates in it; 0: it is no workload. */
  readonly pods: number;
  readonly problems: readonly Problem[];
}

/**
 * Judges the pods of a manifest (a workload, or a typed list of them) by the code of the injector, as they would be judged at
 * admission to a namespace of the mesh. Of a pod that it would leave alone nothing is said.
 */
export function checkWorkload(place: PlacedDocument, mesh: Mesh): WorkloadFindings {
  const manifest = withMergedKeys(givenOf(place));
  if (!isRecord(manifest)) return { pods: 0, problems: [] };
  // Of all this the verdict knows the mesh alone: the rest stands in the injected pod, which nobody gets.
  const settings = { ...UNSEEN, configuration: defaultInjection('lateral'), mesh };
  try {
    const found = injectManifest(manifest, DEFAULT_NAMESPACE, settings);
    return { pods: found.length, problems: found.flatMap((one) => problemsOf(one, manifest, place)) };
  } catch (error) {
    // such as a pod that says it has been injected, and carries a configuration that is none
    const message = `the injector cannot read it: ${error instanceof Error ? error.message : String(error)}`;
    return { pods: 1, problems: [problemAt(place, [], 'error', 'injection_refused', message)] };
  }
}

const UNSEEN = { rootCertificatesPem: '', version: '', kubernetesVersion: undefined, newKey: () => '' };

function problemsOf(
  { name, path, injection }: ManifestInjection,
  manifest: JsonObject,
  place: PlacedDocument,
): readonly Problem[] {
  if (injection.kind === 'skipped') return [];
  const { file, document } = place;
  const pod = givenOf({ document: { ...document, value: manifest }, prefix: path });
  const problem = (severity: Problem['severity'], code: string, message: string): Problem => {
    const blamed = blamedPath(isRecord(pod) ? pod : {}, message);
    const position = document.position([...place.prefix, ...path, ...blamed], 'key');
    return { file, ...position, severity, code, message: `${name}: ${message}` };
  };
  const [severity, code, said] =
    injection.kind === 'refused'
      ? (['error', 'injection_refused', injection.complaints] as const)
      : (['warning', 'injection', injection.warnings] as const);
  const problems = said.slice(0, MAX_DOCUMENT_PROBLEMS).map((message) => problem(severity, code, message));
  if (said.length <= MAX_DOCUMENT_PROBLEMS) return problems;
  const more = `more than ${MAX_DOCUMENT_PROBLEMS} problems; the rest is left out`;
  return [...problems, problem(severity, 'too_many_problems', more)];
}
