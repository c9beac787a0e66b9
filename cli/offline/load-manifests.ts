import {
  DocumentsBeside,
  isPart,
  judgeTogether,
  type PlacedDocument,
  partsLast,
  placedDocuments,
  type ReadDocument,
  readPlaced,
} from '#policy/load-resources.ts';
import { compareProblems, type Problem } from '#policy/problem.ts';
import { contentProblems } from '#policy/resource/content-problems.ts';
import { lifecycleProblems } from '#policy/resource/lifecycle-problems.ts';
import { givenOf, type SourcedResource } from '#policy/resource/sourced-resource.ts';
import { structureProblems } from '#policy/resource/structure-problems.ts';
import type { SourceFile } from '#policy/resource-set.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { isBuiltIn } from './built-in-kinds.ts';
import { checkWorkload } from './check-workload.ts';
import { ConfigMapFiles } from './config-map-files.ts';
import { readFolders } from './read-folders.ts';

/** What files hold that are resources of the mesh, workloads, and other objects of Kubernetes beside them. */
export interface LoadedManifests {
  readonly problems: readonly Problem[];
  readonly sourced: readonly SourcedResource[];
  readonly files: number;
  /** Pods and pod templates that were judged. */
  readonly workloads: number;
  /** Objects of Kubernetes that nothing is said of, by kind. */
  readonly passedOver: ReadonlyMap<string, number>;
}

/** Reads files as `kubectl apply -f` takes them: resources as one set, workloads as the injector would judge them. */
export async function loadManifests(paths: readonly string[], mesh: Mesh): Promise<LoadedManifests> {
  const { files, problems, readDocument } = await readFolders(paths);
  const { unknown, ...loaded } = judgeFiles(files, readDocument, mesh);
  const known = withoutUnknown(loaded.sourced, unknown);
  const all = [...problems, ...loaded.problems, ...(await contentProblems(known))];
  all.push(...(await structureProblems(known)));
  all.push(...lifecycleProblems(loaded.sourced, Date.now()));
  return { ...loaded, problems: all.sort(compareProblems), files: files.length };
}

function judgeFiles(
  files: readonly SourceFile[],
  readDocument: ReadDocument,
  mesh: Mesh,
): Omit<LoadedManifests, 'files'> & { readonly unknown: ReadonlySet<SourcedResource> } {
  const problems: Problem[] = [];
  const { builtIn = [], other = [] } = Object.groupBy(placedDocuments(files, problems), (place) =>
    isBuiltIn(givenOf(place)) ? 'builtIn' : 'other',
  );
  const configMaps = new ConfigMapFiles(builtIn.map(givenOf));
  const read: SourcedResource[] = [];
  const unknown = new Set<SourcedResource>();
  for (const place of partsLast(other)) {
    if (isPart(place, read)) continue;
    const texts = configMaps.readFor(place, problems);
    const named = new DocumentsBeside(place.file, readDocument, texts.read);
    const sourced = readPlaced(place, mesh, problems, named);
    if (sourced === undefined) continue;
    read.push(sourced);
    if (texts.isIncomplete()) unknown.add(sourced);
  }
  const sourced = judgeTogether(read, mesh, problems);
  const passedOver = new Map<string, number>();
  let workloads = 0;
  for (const place of builtIn) {
    const { pods, problems: found } = checkWorkload(place, mesh);
    workloads += pods;
    problems.push(...found);
    if (pods === 0 && !configMaps.isUsed(givenOf(place))) countKind(place, passedOver);
  }
  return { problems, sourced, workloads, passedOver, unknown };
}

/** Without APISchemas whose documents are not at hand, and what policies say about the operations in them. */
function withoutUnknown(
  all: readonly SourcedResource[],
  unknown: ReadonlySet<SourcedResource>,
): readonly SourcedResource[] {
  const names = new Set([...unknown].map(({ any }) => `${any.resource.namespace}/${any.resource.name}`));
  return all.filter((sourced) => {
    if (unknown.has(sourced)) return false;
    if (sourced.any.type !== 'APIValidationPolicy') return true;
    const { namespace, spec } = sourced.any.resource;
    return !spec.schemaRefs.some((reference) => names.has(`${namespace}/${reference}`));
  });
}

function countKind(place: PlacedDocument, counts: Map<string, number>): void {
  const given = givenOf(place);
  if (isBuiltIn(given)) counts.set(given.kind, (counts.get(given.kind) ?? 0) + 1);
}
