import { isRecord } from '#policy/schema/schema.ts';

/** An object of the Kubernetes API, as far as every object is alike. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMetadata;
  readonly spec?: unknown;
  readonly status?: unknown;
}

export interface ObjectMetadata {
  /** Empty: the kind has no namespaces. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Compared for equality alone, as the API demands. */
  readonly resourceVersion: string;
  /** Counts the changes of the spec. */
  readonly generation: number;
  /** RFC 3339; empty: not said. */
  readonly creationTimestamp: string;
  readonly labels: { readonly [key: string]: string };
  readonly annotations: { readonly [key: string]: string };
}

/** Metadata as an object carries it; undefined where it has no name. */
export function metadataOf(object: unknown): ObjectMetadata | undefined {
  const metadata = isRecord(object) ? object.metadata : undefined;
  if (!isRecord(metadata) || typeof metadata.name !== 'string') return undefined;
  return {
    namespace: textOf(metadata.namespace),
    name: metadata.name,
    uid: textOf(metadata.uid),
    resourceVersion: textOf(metadata.resourceVersion),
    generation: typeof metadata.generation === 'number' ? metadata.generation : 0,
    creationTimestamp: textOf(metadata.creationTimestamp),
    labels: textsOf(metadata.labels),
    annotations: textsOf(metadata.annotations),
  };
}

/** `NAMESPACE/NAME`; of kinds without namespaces `/NAME`. */
export function objectKey({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

/** Older first; of the same second by name, so that every replica has the same order. */
export function compareAge(
  left: { readonly metadata: ObjectMetadata },
  right: { readonly metadata: ObjectMetadata },
): number {
  const [one, other] = [left.metadata, right.metadata];
  if (one.creationTimestamp !== other.creationTimestamp)
    return one.creationTimestamp < other.creationTimestamp ? -1 : 1;
  return objectKey(one) < objectKey(other) ? -1 : 1;
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** The entries of a mapping whose values are strings. */
export function textsOf(value: unknown): { readonly [key: string]: string } {
  if (!isRecord(value)) return {};
  const entries = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return Object.fromEntries(entries);
}

const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const MAX_NAME_LENGTH = 253;

/** True for what can be the name of an object. Source: RFC 1123, as in Kubernetes. */
export function isObjectName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && SUBDOMAIN.test(name);
}

/** A number that a TCP port can have: not everything that the API server stores as one is. */
export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}

/** The entries of a list that are mappings; of anything else none. */
export function recordsOf(value: unknown): readonly { readonly [key: string]: unknown }[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
