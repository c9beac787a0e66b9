import { isKindName, PLANNED_KINDS } from '#policy/resource/known-kinds.ts';
import { isRecord } from '#policy/schema/schema.ts';

/** API groups of Kubernetes itself; `v1` alone is of the core group. */
const GROUPS: ReadonlySet<string> = new Set([
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
  'apps',
  'authentication.k8s.io',
  'authorization.k8s.io',
  'autoscaling',
  'batch',
  'certificates.k8s.io',
  'coordination.k8s.io',
  'discovery.k8s.io',
  'events.k8s.io',
  'extensions',
  'flowcontrol.apiserver.k8s.io',
  'internal.apiserver.k8s.io',
  'networking.k8s.io',
  'node.k8s.io',
  'policy',
  'rbac.authorization.k8s.io',
  'resource.k8s.io',
  'scheduling.k8s.io',
  'storage.k8s.io',
  'storagemigration.k8s.io',
]);

/** An object of Kubernetes itself. */
export interface BuiltInObject {
  readonly [key: string]: unknown;
  readonly apiVersion: string;
  readonly kind: string;
}

/**
 * True for an object of an API group of Kubernetes, whatever its kind; not for a kind of the mesh under a wrong apiVersion, nor
 * for a List within a List, which may hold such: these are to be refused, not passed over.
 */
export function isBuiltIn(given: unknown): given is BuiltInObject {
  if (!isRecord(given) || typeof given.apiVersion !== 'string' || typeof given.kind !== 'string') return false;
  const { apiVersion, kind } = given;
  if (kind === 'List' || isKindName(kind) || Object.hasOwn(PLANNED_KINDS, kind)) return false;
  const [, group, version = ''] = /^(?:([^/]+)\/)?([^/]+)$/.exec(apiVersion) ?? [];
  if (group === undefined) return version === 'v1';
  return GROUPS.has(group) && /^v\d+((alpha|beta)\d+)?$/.test(version);
}
