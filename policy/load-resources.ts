import { posix } from 'node:path';
import { analyseResourceSet, analysisOf } from './analysis/analyse-resource-set.ts';
import { compareProblems, type Problem } from './problem.ts';
import { checkProviders } from './resource/check-providers.ts';
import { checkResourceSet } from './resource/check-resource-set.ts';
import { type DocumentEncoding, type NamedDocuments, readResource } from './resource/read-resource.ts';
import { resourceDocument } from './resource/resource-document.ts';
import { contextOf, givenOf, givenSpecOf, type SourcedResource } from './resource/sourced-resource.ts';
import type { ResourceDocument, ResourceSet, SourceFile } from './resource-set.ts';
import { isRecord, type Path, type ReadContext } from './schema/schema.ts';
import { finish } from './steps/finish.ts';
import { bundleDocument, type DocumentBundle } from './validation/openapi/bundle-document.ts';
import { travellingDescriptorSet, travellingOpenApi } from './validation/travelling-document.ts';
import type { Mesh } from './workload-policy.ts';
import { readYaml, type YamlDocument } from './yaml/read-yaml.ts';

/** Returns a schema document, as text or its bytes in base64, or undefined where the folder has none at this path. */
export type ReadDocument = (path: string, encoding: DocumentEncoding) => string | undefined;

/** What a policy folder amounts to, each resource with its place. */
export interface LoadedResources extends ResourceSet {
  /** Only the resources that could be read; without duplicates. */
  readonly sourced: readonly SourcedResource[];
}

/** A document that should be a resource, and its place. */
export type PlacedDocument = Omit<SourcedResource, 'any'>;

/**
 * Reads all resources of a policy folder, checks each and all together, but for conditions and API descriptions (`contentProblems`). Any error among the problems means
 * that the set must not be put in force; the problems are sorted by file and position.
 */
export function loadResources(files: readonly SourceFile[], readDocument: ReadDocument, mesh: Mesh): LoadedResources {
  return finish(loadingOf(files, readDocument, mesh));
}

/** `loadResources` in steps, for whoever has others waiting. */
export function* loadingOf(
  files: readonly SourceFile[],
  readDocument: ReadDocument,
  mesh: Mesh,
): Generator<void, LoadedResources> {
  const problems: Problem[] = [];
  const read: SourcedResource[] = [];
  const places: PlacedDocument[] = [];
  for (const file of files) {
    places.push(...placedDocuments([file], problems));
    yield;
  }
  for (const place of partsLast(places)) {
    if (isPart(place, read)) continue;
    const one = readPlaced(place, mesh, problems, new DocumentsBeside(place.file, readDocument));
    if (one !== undefined) read.push(one);
    yield;
  }
  const sourced = checkTogether(read, mesh, problems);
  // Doubts are raised about whole sets only: what is missing may be what could not be read.
  if (!hasError(problems)) problems.push(...(yield* analysisOf(sourced, mesh)));
  return { resources: sourced.map(documentOf).sort(byKey), problems: problems.sort(compareProblems), sourced };
}

/** All documents of the files, those in Lists too; API descriptions are left out. */
export function placedDocuments(files: readonly SourceFile[], problems: Problem[]): readonly PlacedDocument[] {
  return files.flatMap((file) => {
    const { documents, problems: syntaxProblems } = readYaml(file);
    problems.push(...syntaxProblems);
    return documents.flatMap((document) => {
      if (isApiDescription(document.value)) return [];
      return prefixesOf(document).map((prefix) => ({ file: file.path, document, prefix }));
    });
  });
}

/** The resource at a place; undefined after a problem was reported. */
export function readPlaced(
  place: PlacedDocument,
  mesh: Mesh,
  problems: Problem[],
  named: DocumentsBeside,
): SourcedResource | undefined {
  const any = readResource(givenOf(place), mesh, contextOf(place, problems), named);
  return any === undefined ? undefined : { ...place, any, bundle: named.bundle };
}

/**
 * The documents in the order in which they are to be read: those that may be parts of API descriptions last, when it is known (`isPart`) which
 * files were taken in.
 */
export function partsLast(places: readonly PlacedDocument[]): readonly PlacedDocument[] {
  return [...places.filter((place) => !mayBePart(place)), ...places.filter(mayBePart)];
}

/** A part of an API description in several files: no resource, in a file that such a description was made of. */
export function isPart(place: PlacedDocument, read: readonly SourcedResource[]): boolean {
  return mayBePart(place) && read.some(({ bundle }) => bundle?.files.has(place.file));
}

function mayBePart({ document: { value } }: PlacedDocument): boolean {
  return !isRecord(value) || !('kind' in value || 'apiVersion' in value);
}

/** Reports what only all resources together can tell, but for `contentProblems`, and returns them without duplicates. */
export function judgeTogether(
  read: readonly SourcedResource[],
  mesh: Mesh,
  problems: Problem[],
): readonly SourcedResource[] {
  const sourced = checkTogether(read, mesh, problems);
  if (!hasError(problems)) problems.push(...analyseResourceSet(sourced, mesh));
  return sourced;
}

function checkTogether(read: readonly SourcedResource[], mesh: Mesh, problems: Problem[]): readonly SourcedResource[] {
  const sourced = checkResourceSet(read, mesh, problems);
  problems.push(...checkProviders(sourced));
  return sourced;
}

function hasError(problems: readonly Problem[]): boolean {
  return problems.some(({ severity }) => severity === 'error');
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

/** Documents from the folder in which a file stands, for the resources of that file. */
export class DocumentsBeside implements NamedDocuments {
  readonly configMaps: NamedDocuments['configMaps'];
  /** Of the document that was taken last, where it is of several files. */
  bundle: DocumentBundle | undefined;
  readonly #from: string;
  readonly #readDocument: ReadDocument;

  constructor(from: string, readDocument: ReadDocument, configMaps: NamedDocuments['configMaps'] = refuseConfigMaps) {
    this.#from = from;
    this.#readDocument = readDocument;
    this.configMaps = configMaps;
  }

  file(file: string, path: Path, context: ReadContext, encoding: DocumentEncoding): string | undefined {
    if (posix.isAbsolute(file) || file.includes('\\') || file.includes('\0')) {
      context.fail(path, 'invalid_value', `${file} is not a path relative to ${this.#from}`);
      return undefined;
    }
    const place = posix.join(posix.dirname(this.#from), file);
    const text = this.#readDocument(place, encoding);
    if (text === undefined) {
      const message = `${file} is not a readable file within the policy folder, relative to ${this.#from}`;
      context.fail(path, 'invalid_value', message);
      return undefined;
    }
    if (encoding === 'base64') return text;
    this.bundle = bundleDocument(place, text, (other) => this.#readDocument(other, 'utf8'));
    return this.bundle?.source ?? text;
  }
}

const refuseConfigMaps: NamedDocuments['configMaps'] = (_namespace, _references, path, context) => {
  const message = 'configMapRefs are read from a cluster only; in a policy folder use file or inline';
  context.fail(path, 'invalid_value', message, 'key');
  return undefined;
};

/** The resource as it travels: from the spec as it was given. */
export function documentOf(sourced: SourcedResource): ResourceDocument {
  const { type, resource } = sourced.any;
  // What is given, not what was read: the receiver reads it with the same schema. An APISchema has its document put in, as it travels.
  if (type !== 'APISchema') return resourceDocument({ ...resource, spec: givenSpecOf(sourced) });
  const { openapi, protoDescriptorSet: set } = resource.spec;
  const documents = {
    ...(openapi?.inline !== undefined && { openapi: travellingOpenApi(openapi.inline) }),
    ...(set?.inline !== undefined && { protoDescriptorSet: travellingDescriptorSet(set.inline) }),
  };
  return resourceDocument({ ...resource, spec: { ...resource.spec, ...documents } });
}

function byKey(left: ResourceDocument, right: ResourceDocument): number {
  return left.key < right.key ? -1 : 1;
}
