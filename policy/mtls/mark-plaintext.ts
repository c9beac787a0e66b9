import { appPort, type EndpointSpec, endpointPort } from '../mesh/compiled-service.ts';
import { resourceDocument } from '../resource/resource-document.ts';
import type { ResourceDocument } from '../resource-set.ts';
import { isRecord } from '../schema/schema.ts';
import type { ReadDocument } from '../snapshot/read-documents.ts';
import type { EndpointModes, NamespaceModes } from './endpoint-modes.ts';

/** A MeshService as it was given, by the form that travels. */
const givenForms = new WeakMap<ResourceDocument, ResourceDocument>();

/** The document that this one was made of, or itself: by its version others know it again. */
export function givenForm(document: ResourceDocument): ResourceDocument {
  return givenForms.get(document) ?? document;
}

/** To be called where a document that is known already travels in place of what `given` came to, which says the same. */
export function noteGivenForm(travelling: ResourceDocument, given: ResourceDocument): void {
  if (travelling !== given) givenForms.set(travelling, given);
}

/** Namespace of a resource, by its key. */
function namespaceOf({ key }: ResourceDocument): string {
  return key.split('/', 2)[1] ?? '';
}

/** The ports of apps and the selector tell nothing to callers; sidecars of older versions do not know them. */
const KEPT_BACK = /"(appPorts?|selector)":/;

/**
 * Makes the form in which MeshServices travel: callers are told at which ports of an endpoint its sidecar takes plaintext
 * alone. What a document came to is kept with it, so that only what a change concerns is made anew.
 */
export class PlaintextMarks {
  readonly #made = new WeakMap<ResourceDocument, { readonly key: string; readonly document: ResourceDocument }>();

  /** The MeshService itself where none of its endpoints is DISABLE. `read`: reads it. */
  travelling(given: ResourceDocument, modes: EndpointModes, read: (one: ResourceDocument) => ReadDocument | undefined) {
    const ofNamespace = modes.ofNamespace(namespaceOf(given));
    if (ofNamespace === undefined && !KEPT_BACK.test(given.document)) return given;
    const key = ofNamespace?.key ?? '';
    const known = this.#made.get(given);
    if (known?.key === key) return known.document;
    const document = marked(given, read(given), ofNamespace);
    this.#made.set(given, { key, document });
    return document;
  }
}

function marked(
  given: ResourceDocument,
  read: ReadDocument | undefined,
  modes: NamespaceModes | undefined,
): ResourceDocument {
  if (read?.any.type !== 'MeshService') return given;
  const { resource } = read.any;
  const servicePorts = resource.spec.ports?.map(({ port }) => port);
  const plaintext = resource.spec.endpoints.map((endpoint) =>
    modes === undefined ? [] : plaintextPorts(endpoint, servicePorts, modes),
  );
  const document: unknown = JSON.parse(given.document);
  const { selector: _kept, ...spec } = isRecord(document) && isRecord(document.spec) ? document.spec : {};
  const written = Array.isArray(spec.endpoints) ? spec.endpoints : [];
  const endpoints = written.map((endpoint: unknown, index) => travellingEndpoint(endpoint, plaintext[index] ?? []));
  const made = resourceDocument({ ...resource, spec: { ...spec, endpoints } });
  if (made.version === given.version) return given;
  noteGivenForm(made, given);
  return made;
}

function travellingEndpoint(written: unknown, ports: readonly number[]): unknown {
  if (!isRecord(written)) return written;
  const { appPort: _one, appPorts: _several, ...endpoint } = written;
  return ports.length === 0 ? endpoint : { ...endpoint, plaintextPorts: ports };
}

/** Ports at the endpoint behind which every port of the app is DISABLE. */
function plaintextPorts(
  endpoint: EndpointSpec,
  servicePorts: readonly number[] | undefined,
  modes: NamespaceModes,
): readonly number[] {
  // PeerAuthentications are of the own mesh's workloads
  if (endpoint.plaintext || endpoint.spiffeId !== undefined) return [];
  const { mtlsMode } = modes.modesOf(endpoint.labels);
  const isPlaintext = new Map<number, boolean>();
  for (const servicePort of servicePorts ?? [endpoint.port]) {
    const port = endpointPort(endpoint, servicePort);
    isPlaintext.set(port, isPlaintext.get(port) !== false && mtlsMode(appPort(endpoint, servicePort)) === 'DISABLE');
  }
  return [...isPlaintext].flatMap(([port, isIt]) => (isIt ? [port] : [])).sort((left, right) => left - right);
}
