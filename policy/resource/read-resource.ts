import { nearestSpelling } from '../schema/nearest-spelling.ts';
import {
  anything,
  defaulted,
  type Infer,
  isRecord,
  map,
  object,
  optional,
  type Path,
  type ReadContext,
  required,
  string,
} from '../schema/schema.ts';
import type { Mesh } from '../workload-policy.ts';
import { DRY_RUN, readDryRun } from './dry-run.ts';
import type { Resource, ResourceKind } from './kind.ts';
import {
  apiSchemaKind,
  type ConfigMapReference,
  type DocumentSource,
  documentSourceOf,
  inlineTextOf,
  type TravellingForm,
  travellingApiSchema,
  travellingApiSchemaKind,
} from './kinds/api-schema.ts';
import { refuseMadeFields } from './kinds/mesh-service.ts';
import {
  CONTROL_PLANE_KINDS,
  type ControlPlaneKindName,
  type ControlPlaneSpecOf,
  isControlPlaneKindName,
  isKindName,
  KINDS,
  type KindName,
  PLANNED_KINDS,
  type SpecOf,
} from './known-kinds.ts';
import { dnsLabel, dnsSubdomain } from './names.ts';

/** A resource of any kind of this version; `type` tells which. */
export type AnyResource = {
  readonly [K in KindName]: { readonly type: K; readonly resource: Resource<SpecOf<K>> };
}[KindName];

/** A resource as it reaches a sidecar: of people, or of the control plane itself. */
export type DistributedResource =
  | AnyResource
  | {
      readonly [K in ControlPlaneKindName]: { readonly type: K; readonly resource: Resource<ControlPlaneSpecOf<K>> };
    }[ControlPlaneKindName];

const text = string({ minLength: 0, maxLength: 262_144 });
const fromServer = optional(anything('Written by the API server; not read.'));

const metadataSchema = object({
  name: required(dnsSubdomain('Name, unique within kind and namespace.')),
  namespace: required(dnsLabel('Namespace; there is no default outside Kubernetes.')),
  labels: optional(map(text)),
  annotations: optional(map(text)),
  creationTimestamp: fromServer,
  deletionGracePeriodSeconds: fromServer,
  deletionTimestamp: fromServer,
  finalizers: fromServer,
  generateName: fromServer,
  generation: fromServer,
  managedFields: fromServer,
  ownerReferences: fromServer,
  resourceVersion: fromServer,
  selfLink: fromServer,
  uid: fromServer,
});

type Metadata = Infer<typeof metadataSchema>;

/** How a document is written as a string: text, or bytes of any kind in base64. */
export type DocumentEncoding = 'utf8' | 'base64';

/** Where the schema document that an APISchema names is taken from; undefined after a problem was reported at `path`. */
export interface NamedDocuments {
  /** `file` as it stands in the resource. */
  file(file: string, path: Path, context: ReadContext, encoding: DocumentEncoding): string | undefined;
  configMaps(
    namespace: string,
    references: readonly ConfigMapReference[],
    path: Path,
    context: ReadContext,
    encoding: DocumentEncoding,
  ): HeldDocument | undefined;
  /** A document that stands in the resource. Default: its text. */
  inline?(
    text: string,
    namespace: string,
    path: Path,
    context: ReadContext,
    encoding: DocumentEncoding,
  ): HeldDocument | undefined;
}

/** The text of a document, bytes in base64; or what another thread has made of it. */
export type HeldDocument = string | TravellingForm;

/**
 * Reads one resource and checks all that can be checked without the others; undefined after it has reported
 * a problem. With `named` the resource is in the form that people write, and the documents it names are
 * put into it; without, it is in the form that travels.
 */
export function readResource(
  document: unknown,
  mesh: Mesh,
  context: ReadContext,
  named?: NamedDocuments,
): AnyResource | undefined {
  if (!isRecord(document)) {
    context.fail([], 'invalid_type', 'expected a resource: a mapping with apiVersion, kind, metadata and spec');
    return undefined;
  }
  const kindName = readKind(document, context);
  if (kindName === undefined) return undefined;
  const header = readHeader(document, context);
  switch (kindName) {
    case 'AuthorizationPolicy':
      return tagged(kindName, readSpec(KINDS[kindName], header, mesh, context));
    case 'PeerAuthentication':
      return tagged(kindName, readSpec(KINDS[kindName], header, mesh, context));
    case 'RequestAuthentication':
      return tagged(kindName, readSpec(KINDS[kindName], header, mesh, context));
    case 'APIValidationPolicy':
      return tagged(kindName, readSpec(KINDS[kindName], header, mesh, context));
    case 'APISchema':
      return tagged(kindName, readApiSchema(header, mesh, context, named));
    case 'MeshService': {
      const service = readSpec(KINDS[kindName], header, mesh, context);
      if (service !== undefined && named !== undefined) refuseMadeFields(service.spec, context);
      return tagged(kindName, service);
    }
    case 'MeshDefaults':
      return tagged(kindName, readSpec(KINDS[kindName], header, mesh, context));
  }
}

/** Reads one resource in the form that travels, also those that only the control plane makes. */
export function readDistributedResource(
  document: unknown,
  mesh: Mesh,
  context: ReadContext,
): DistributedResource | undefined {
  const kind = isRecord(document) ? document.kind : undefined;
  if (!isRecord(document) || typeof kind !== 'string' || !isControlPlaneKindName(kind)) {
    return readResource(document, mesh, context);
  }
  const header = readHeader(document, context);
  if (header.metadata !== undefined && header.metadata.namespace !== mesh.rootNamespace) {
    const message = `${kind} is of the control plane's namespace ${mesh.rootNamespace} alone`;
    context.fail(['metadata', 'namespace'], 'invalid_value', message);
    return undefined;
  }
  if (kind === 'TrustBundle') {
    const resource = readSpec(CONTROL_PLANE_KINDS[kind], header, mesh, context);
    return resource === undefined ? undefined : { type: kind, resource };
  }
  const resource = readSpec(CONTROL_PLANE_KINDS[kind], header, mesh, context);
  return resource === undefined ? undefined : { type: kind, resource };
}

function readHeader(document: { readonly [key: string]: unknown }, context: ReadContext): Header {
  const envelope = object({
    apiVersion: required(string()),
    kind: required(string()),
    metadata: required(metadataSchema),
    spec: defaulted<unknown>(anything('What the resource says.'), {}),
    status: optional(anything('Written by a controller; not read.')),
  }).read(document, [], context);
  return { document, apiVersion: String(document.apiVersion), metadata: envelope?.metadata };
}

function readKind(document: { readonly [key: string]: unknown }, context: ReadContext): KindName | undefined {
  const { kind, apiVersion } = document;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string') {
    for (const [field, given] of Object.entries({ apiVersion, kind })) {
      if (given === undefined || given === null) context.fail([], 'missing_field', `missing field ${field}`);
      else if (typeof given !== 'string') context.fail([field], 'invalid_type', 'expected a string');
    }
    return undefined;
  }
  if (isControlPlaneKindName(kind)) {
    context.fail(['kind'], 'unknown_kind', `${kind} is made by the control plane alone; remove it`);
    return undefined;
  }
  const isKnown = isKindName(kind);
  const apiVersions = isKnown
    ? KINDS[kind].apiVersions
    : Object.hasOwn(PLANNED_KINDS, kind)
      ? PLANNED_KINDS[kind]
      : undefined;
  if (apiVersions === undefined) {
    const names = [...Object.keys(KINDS), ...Object.keys(PLANNED_KINDS)];
    const near = nearestSpelling(kind, names);
    const hint = near === undefined ? `known: ${Object.keys(KINDS).join(', ')}` : `did you mean ${near}?`;
    context.fail(['kind'], 'unknown_kind', `unknown kind ${kind}; ${hint}`);
    return undefined;
  }
  if (!apiVersions.includes(apiVersion)) {
    const message = `${kind} is not of ${apiVersion}; expected ${apiVersions.join(' or ')}`;
    context.fail(['apiVersion'], 'unknown_api_version', message);
    return undefined;
  }
  if (isKnown) return kind;
  context.fail(['kind'], 'not_implemented', `${kind} is not yet supported in this version; remove it`);
  return undefined;
}

interface Header {
  readonly document: { readonly [key: string]: unknown };
  readonly apiVersion: string;
  readonly metadata: Metadata | undefined;
}

function readSpec<Spec>(
  kind: ResourceKind<Spec>,
  { document, apiVersion, metadata }: Header,
  mesh: Mesh,
  context: ReadContext,
): Resource<Spec> | undefined {
  const spec = kind.spec.read(document.spec ?? {}, ['spec'], context);
  if (spec === undefined || metadata === undefined) return undefined;
  const { namespace, name } = metadata;
  const resource = {
    ...{ apiVersion, kind: kind.kind, namespace, name, spec },
    ...(isOnTrial(kind.kind, spec, metadata, context) ? { isOnTrial: true } : {}),
  };
  kind.check?.(resource, mesh, context);
  return resource;
}

function readApiSchema(header: Header, mesh: Mesh, context: ReadContext, named: NamedDocuments | undefined) {
  if (named === undefined) return readSpec(travellingApiSchemaKind, header, mesh, context);
  const read = readSpec(apiSchemaKind, header, mesh, context);
  if (read === undefined) return undefined;
  const { field, source } = documentSourceOf(read.spec);
  const path = ['spec', field, formOf(source)];
  const encoding = field === 'protoDescriptorSet' ? 'base64' : 'utf8';
  const held = heldBy(source, encoding, read.namespace, path, named, context);
  if (held === undefined) return undefined;
  const at =
    (report: ReadContext['fail']): ReadContext['fail'] =>
    (_path, code, message) =>
      report(path, code, message);
  const travelling = travellingApiSchema(read.spec, held);
  const spec = travellingApiSchemaKind.spec.read(travelling, [], { fail: at(context.fail), warn: at(context.warn) });
  return spec === undefined ? undefined : { ...read, spec };
}

function heldBy(
  source: DocumentSource,
  encoding: DocumentEncoding,
  namespace: string,
  path: Path,
  named: NamedDocuments,
  context: ReadContext,
): HeldDocument | undefined {
  const { file, configMapRefs } = source;
  if (file !== undefined) return named.file(file, path, context, encoding);
  if (configMapRefs !== undefined) return named.configMaps(namespace, configMapRefs, path, context, encoding);
  const text = inlineTextOf(source);
  return named.inline === undefined ? text : named.inline(text, namespace, path, context, encoding);
}

function formOf({ file, configMapRefs }: DocumentSource): keyof DocumentSource {
  if (file !== undefined) return 'file';
  return configMapRefs === undefined ? 'inline' : 'configMapRefs';
}

function tagged<K extends KindName>(type: K, resource: Resource<SpecOf<K>> | undefined) {
  return resource === undefined ? undefined : { type, resource };
}

/** Other kinds have no trial: to go on would be to enforce what was not meant to be. */
function isOnTrial(kind: string, spec: unknown, { annotations }: Metadata, context: ReadContext): boolean {
  const given = readDryRun(annotations);
  const path = ['metadata', 'annotations', DRY_RUN];
  if (given === undefined) {
    context.warn(
      path,
      'invalid_value',
      `${DRY_RUN} is neither "true" nor "false": the policy is enforced, as in Istio`,
    );
  } else if (given && kind !== 'AuthorizationPolicy') {
    context.fail(path, 'not_implemented', `${DRY_RUN} of a ${kind} is not implemented in this version`, 'key');
  }
  return given === true || (kind === 'AuthorizationPolicy' && isRecord(spec) && spec.mode === 'Audit');
}
