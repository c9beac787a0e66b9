import { posix } from 'node:path';
import { compareProblems, type Problem } from './problem.ts';
import { analyseResourceSet } from './resource/analyse-resource-set.ts';
import { checkApiSchemas } from './resource/check-api-schemas.ts';
import { checkResourceSet } from './resource/check-resource-set.ts';
import { checkValidationPolicies } from './resource/check-validation-policies.ts';
import { type NamedDocuments, readResource } from './resource/read-resource.ts';
import { resourceDocument } from './resource/resource-document.ts';
import { contextOf, type SourcedResource } from './resource/sourced-resource.ts';
import type { ResourceDocument, ResourceSet, SourceFile } from './resource-set.ts';
import { isRecord, type Path } from './schema/schema.ts';
import type { Mesh } from './workload-policy.ts';
import { readYaml, type YamlDocument } from './yaml/read-yaml.ts';

/** Returns the text of a schema document, or undefined where the folder has none at this path. */
export type ReadDocument = (path: string) => string | undefined;

/** What a policy folder amounts to, each resource with its place. */
export interface LoadedResources extends ResourceSet {
  /** Only the resources that could be read; without duplicates. */
  readonly sourced: readonly SourcedResource[];
}

/** A document that should be a resource, and its place. */
type PlacedDocument = Omit<SourcedResource, 'any'>;

/**
 * Reads all resources of a policy folder, checks each and all together. Any error among the problems means
 * that the set must not be put in force; the problems are sorted by file and position.
 */
export function loadResources(files: readonly SourceFile[], readDocument: ReadDocument, mesh: Mesh): LoadedResources {
  const problems: Problem[] = [];
  const read: SourcedResource[] = [];
  for (const file of files) {
    const { documents, problems: syntaxProblems } = readYaml(file);
    problems.push(...syntaxProblems);
    for (const document of documents) {
      if (isApiDescription(document.value)) continue;
      for (const prefix of prefixesOf(document)) {
        const place = { file: file.path, document, prefix };
        const any = readResource(givenOf(place), mesh, contextOf(place, problems), beside(file.path, readDocument));
        if (any !== undefined) read.push({ ...place, any });
      }
    }
  }
  const sourced = checkResourceSet(read, mesh, problems);
  problems.push(...checkApiSchemas(sourced, givenSpecOf), ...checkValidationPolicies(sourced));
  const hasError = problems.some(({ severity }) => severity === 'error');
  // Doubts are raised about whole sets only: what is missing may be what could not be read.
  if (!hasError) problems.push(...analyseResourceSet(sourced, mesh));
  return { resources: sourced.map(documentOf).sort(byKey), problems: problems.sort(compareProblems), sourced };
}

/** A schema document that stands beside the resources and is itself YAML: read through the APISchema that names it. */
export function isApiDescription(value: unknown): boolean {
  return (
    isRecord(value) && !('kind' in value) && !('apiVersion' in value) && ('openapi' in value || 'swagger' in value)
  );
}

/** Where the resources of a document begin: at its root, or at each item of a `kind: List`. */
export function prefixesOf({ value }: YamlDocument): readonly Path[] {
  if (!isRecord(value) || value.kind !== 'List' || value.apiVersion !== 'v1' || !Array.isArray(value.items)) {
    return [[]];
  }
  return value.items.map((_item, index) => ['items', index]);
}

function beside(from: string, readDocument: ReadDocument): NamedDocuments {
  return {
    file(file, path, context) {
      if (posix.isAbsolute(file) || file.includes('\\') || file.includes('\0')) {
        context.fail(path, 'invalid_value', `${file} is not a path relative to ${from}`);
        return undefined;
      }
      const text = readDocument(posix.join(posix.dirname(from), file));
      if (text === undefined) {
        context.fail(
          path,
          'invalid_value',
          `${file} is not a readable file within the policy folder, relative to ${from}`,
        );
      }
      return text;
    },
    configMaps(_namespace, _references, path, context) {
      const message = 'configMapRefs are read from a cluster only; in a policy folder use file or inline';
      context.fail(path, 'invalid_value', message, 'key');
      return undefined;
    },
  };
}

/** The resource as it travels: from the spec as it was given. */
export function documentOf(sourced: SourcedResource): ResourceDocument {
  const { type, resource } = sourced.any;
  // What is given, not what was read: the receiver reads it with the same schema. An APISchema has its text put in.
  const spec = type === 'APISchema' ? resource.spec : givenSpecOf(sourced);
  return resourceDocument({ ...resource, spec });
}

/** The spec as it was written. */
function givenSpecOf(place: PlacedDocument): unknown {
  const given = givenOf(place);
  return isRecord(given) ? (given.spec ?? {}) : {};
}

export function givenOf({ document, prefix }: PlacedDocument): unknown {
  let given: unknown = document.value;
  for (const step of prefix) {
    if (Array.isArray(given) && typeof step === 'number') given = given[step];
    else if (isRecord(given)) given = given[step];
  }
  return given;
}

function byKey(left: ResourceDocument, right: ResourceDocument): number {
  return left.key < right.key ? -1 : 1;
}
