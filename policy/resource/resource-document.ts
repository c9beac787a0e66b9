import { createHash } from 'node:crypto';
import type { ResourceDocument, Snapshot } from '../resource-set.ts';
import { canonicalJson } from './canonical-json.ts';
import { DRY_RUN } from './dry-run.ts';

/** Hex digits of a version: 128 bits of SHA-256. */
export const VERSION_LENGTH = 32;

/** KIND/NAMESPACE/NAME. AuthorizationPolicies of both groups are of one kind. */
export function resourceKey(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** A resource in the form that travels: canonical JSON, its key, its version. */
export function resourceDocument(header: {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly spec: unknown;
  readonly isOnTrial?: boolean;
}): ResourceDocument {
  const { apiVersion, kind, namespace, name, spec, isOnTrial = false } = header;
  const metadata = { name, namespace, ...(isOnTrial ? { annotations: { [DRY_RUN]: 'true' } } : {}) };
  const document = canonicalJson({ apiVersion, kind, metadata, spec });
  return { key: resourceKey(kind, namespace, name), version: hashOf([document]), document };
}

/** The snapshot of these resources: sorted by key, with their joint version. */
export function snapshotOf(resources: readonly ResourceDocument[]): Snapshot {
  const sorted = [...resources].sort((left, right) => (left.key < right.key ? -1 : 1));
  return { version: hashOf([versionLines(sorted)]), resources: sorted };
}

/** What the version of a snapshot is the hash of, for these resources, which are sorted by key. */
export function versionLines(sorted: readonly ResourceDocument[]): string {
  return sorted.map(({ key, version }) => `${key}@${version}\n`).join('');
}

/** The version of these texts, one after the other. */
export function hashOf(texts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(text);
  return hash.digest('hex').slice(0, VERSION_LENGTH);
}
