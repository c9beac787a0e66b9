import { readJsonFile } from '#files/read-json-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';

/** Largest stored set that is read back. */
const MAX_LAST_GOOD_BYTES = 256 * 1024 * 1024;
const FORMAT = 1;

/** Stores the set in force, so that a restart on a broken folder goes on with it. */
export async function writeLastGood(path: string, mesh: Mesh, resources: readonly ResourceDocument[]): Promise<void> {
  const { trustDomain, rootNamespace } = mesh;
  const content = { format: FORMAT, trustDomain, rootNamespace, savedAt: new Date().toISOString(), resources };
  await writeFileAtomically(path, `${JSON.stringify(content)}\n`);
}

export interface LastGood {
  readonly savedAt: string;
  readonly resources: readonly ResourceDocument[];
}

/** The stored set; undefined when there is none, or it is another mesh's, or another version wrote it. */
export async function readLastGood(path: string, mesh: Mesh): Promise<LastGood | undefined> {
  const value = await readJsonFile(path, MAX_LAST_GOOD_BYTES);
  if (!isRecord(value) || value.format !== FORMAT || typeof value.savedAt !== 'string') return undefined;
  if (value.trustDomain !== mesh.trustDomain || value.rootNamespace !== mesh.rootNamespace) return undefined;
  const { resources } = value;
  if (!Array.isArray(resources) || !resources.every(isResourceDocument)) return undefined;
  return { savedAt: value.savedAt, resources };
}

function isResourceDocument(value: unknown): value is ResourceDocument {
  return (
    isRecord(value) &&
    typeof value.key === 'string' &&
    typeof value.version === 'string' &&
    typeof value.document === 'string'
  );
}
