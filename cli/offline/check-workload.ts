import { injectManifest, type ManifestInjection } from '#control-plane/injection/inject-manifest.ts';
import { givenOf, type PlacedDocument } from '#policy/load-resources.ts';
import type { Problem } from '#policy/problem.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { blamedPath } from './blamed-path.ts';
import { defaultInjection } from './default-injection.ts';

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
  const manifest = givenOf(place);
  if (!isRecord(manifest)) return { pods: 0, problems: [] };
  // Of all this the verdict knows the mesh alone: the rest stands in the injected pod, which nobody gets.
  const settings = { ...UNSEEN, configuration: defaultInjection('lateral'), mesh };
  const found = injectManifest(manifest, DEFAULT_NAMESPACE, settings);
  return { pods: found.length, problems: found.flatMap((one) => problemsOf(one, place)) };
}

const UNSEEN = { rootCertificatesPem: '', version: '', kubernetesVersion: undefined, newKey: () => '' };

function problemsOf({ name, path, injection }: ManifestInjection, place: PlacedDocument): readonly Problem[] {
  if (injection.kind === 'skipped') return [];
  const { file, document } = place;
  const prefix = [...place.prefix, ...path];
  const pod = givenOf({ ...place, prefix });
  const problem = (severity: Problem['severity'], code: string, message: string): Problem => {
    const position = document.position([...prefix, ...blamedPath(isRecord(pod) ? pod : {}, message)], 'key');
    return { file, ...position, severity, code, message: `${name}: ${message}` };
  };
  return injection.kind === 'refused'
    ? injection.complaints.map((complaint) => problem('error', 'injection_refused', complaint))
    : injection.warnings.map((warning) => problem('warning', 'injection', warning));
}
