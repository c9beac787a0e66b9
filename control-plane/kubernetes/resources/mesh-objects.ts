import { isRecord } from '#policy/schema/schema.ts';
import { metadataOf, type ObjectMetadata } from '../api-object.ts';

/** An object of lateral.dev, security.istio.io or gateway.networking.k8s.io, as it is kept. */
export interface MeshObject {
  /** GROUP/KIND/NAMESPACE/NAME. */
  readonly key: string;
  readonly group: string;
  readonly kind: string;
  /** Lower-case plural of the collection it is in. */
  readonly plural: string;
  readonly apiVersion: string;
  readonly metadata: ObjectMetadata;
  /** What is judged: without status and managedFields. */
  readonly document: { readonly [key: string]: unknown };
  /** As it stands there; written by us and, of kinds that are not ours, by others. */
  readonly status: { readonly [field: string]: unknown };
}

/** Undefined: not an object with a name. Lists leave out apiVersion and kind of their items. */
export function meshObjectOf(
  object: { readonly [key: string]: unknown },
  {
    group,
    version,
    kind,
    plural,
  }: { readonly group: string; readonly version: string; readonly kind: string; readonly plural: string },
): MeshObject | undefined {
  const metadata = metadataOf(object);
  if (metadata === undefined || !isRecord(object.metadata)) return undefined;
  const { status, ...rest } = object;
  const { managedFields: _managedFields, ...shown } = object.metadata;
  const apiVersion = `${group}/${version}`;
  return {
    key: `${group}/${kind}/${metadata.namespace}/${metadata.name}`,
    group,
    kind,
    plural,
    apiVersion,
    metadata,
    document: { ...rest, apiVersion, kind, metadata: shown },
    status: isRecord(status) ? status : {},
  };
}
