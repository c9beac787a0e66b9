import { join } from 'node:path';
import { makePrivate } from '#files/make-private.ts';
import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import { snapshotOf } from '#policy/resource/resource-document.ts';
import type { ResourceDocument, Snapshot } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Credentials } from '../identity/credentials.ts';

/** Key, chain and roots in one file, so that they always fit together. */
const IDENTITY_FILE = 'identity.json';
/** The last snapshot that was put in force and ACKed. */
const SNAPSHOT_FILE = 'snapshot.json';
const MAX_IDENTITY_BYTES = 256 * 1024;
const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;
const FORMAT = 1;

/** What was found, or why it is of no use; neither: nothing was stored. */
export interface Stored<T> {
  readonly value?: T;
  readonly complaint?: string;
}

/** Credentials, and what the keeper knows of them. */
export interface HeldCertificate {
  readonly credentials: Credentials;
  /** Milliseconds since the epoch. */
  readonly receivedAtMs: number;
  /** The roots in the credentials are those that the mesh has published; false: those that came with the certificate. */
  readonly areRootsOfMesh: boolean;
}

/** What is kept of it, and the roots that were configured when it was got. */
export interface StoredIdentity extends HeldCertificate {
  /** PEM; undefined: stored by a version that did not keep them. */
  readonly configuredRootsPem: string | undefined;
}

/** What a sidecar keeps across restarts; files of mode 0600, each written as a whole. */
export interface StateDirectory {
  readIdentity(identity: SpiffeId): Promise<Stored<StoredIdentity>>;
  writeIdentity(identity: StoredIdentity): Promise<void>;
  readSnapshot(identity: SpiffeId): Promise<Stored<Snapshot>>;
  writeSnapshot(identity: SpiffeId, snapshot: Snapshot): Promise<void>;
}

/** Opens (and makes, 0700) the directory. Where it cannot be made private nothing is read of it and nothing written: both say why. */
export function openStateDirectory(directory: string): StateDirectory {
  const privacy = makePrivate(directory);
  const readJson: typeof readPrivateJson = async (...args) => {
    const complaint = await privacy;
    return complaint === undefined ? readPrivateJson(...args) : { complaint };
  };
  const writeJson = async (path: string, value: object): Promise<void> => {
    const complaint = await privacy;
    if (complaint !== undefined) throw new Error(complaint);
    await writeFileAtomically(path, `${JSON.stringify({ format: FORMAT, ...value })}\n`);
  };
  return {
    async readIdentity(identity) {
      const stored = await readJson(join(directory, IDENTITY_FILE), MAX_IDENTITY_BYTES, identity);
      if (stored.value === undefined) return stored.complaint === undefined ? {} : { complaint: stored.complaint };
      const { certificateChainPem, privateKeyPem, trustBundlePem, expiresAtMs } = stored.value;
      const { configuredRootsPem, receivedAtMs, areRootsOfMesh } = stored.value;
      const isWhole =
        typeof certificateChainPem === 'string' &&
        typeof privateKeyPem === 'string' &&
        typeof trustBundlePem === 'string' &&
        typeof expiresAtMs === 'number';
      if (!isWhole) return { complaint: `${IDENTITY_FILE} lacks a field` };
      return {
        value: {
          credentials: { identity, certificateChainPem, privateKeyPem, trustBundlePem, expiresAtMs },
          configuredRootsPem: typeof configuredRootsPem === 'string' ? configuredRootsPem : undefined,
          // a version that did not keep it: as if it had come just now
          receivedAtMs: typeof receivedAtMs === 'number' ? receivedAtMs : Date.now(),
          areRootsOfMesh: areRootsOfMesh === true,
        },
      };
    },
    async writeIdentity({ credentials: { identity, ...credentials }, ...rest }) {
      await writeJson(join(directory, IDENTITY_FILE), { identity: identity.uri, ...credentials, ...rest });
    },
    async readSnapshot(identity) {
      const stored = await readJson(join(directory, SNAPSHOT_FILE), MAX_SNAPSHOT_BYTES, identity);
      if (stored.value === undefined) return stored.complaint === undefined ? {} : { complaint: stored.complaint };
      const { version, resources } = stored.value;
      if (!Array.isArray(resources) || !resources.every(isResourceDocument)) {
        return { complaint: `${SNAPSHOT_FILE} lacks a field` };
      }
      const snapshot = snapshotOf(resources);
      if (snapshot.version !== version) return { complaint: `${SNAPSHOT_FILE} is not of the version it names` };
      return { value: snapshot };
    },
    async writeSnapshot(identity, { version, resources }) {
      await writeJson(join(directory, SNAPSHOT_FILE), { identity: identity.uri, version, resources });
    },
  };
}

async function readPrivateJson(
  path: string,
  maxBytes: number,
  identity: SpiffeId,
): Promise<Stored<{ readonly [name: string]: unknown }>> {
  const file = await readBoundedFile(path, maxBytes).catch((error: unknown) => String(error));
  if (file === undefined) return {};
  if (typeof file === 'string') return { complaint: file };
  if (isSharedMode(file.mode)) return { complaint: `${path}: mode ${file.mode.toString(8)} lets others read it` };
  let value: unknown;
  try {
    value = JSON.parse(file.text);
  } catch {
    return { complaint: `${path}: is not JSON` };
  }
  if (!isRecord(value) || value.format !== FORMAT) return { complaint: `${path}: was written by another version` };
  if (value.identity !== identity.uri) return { complaint: `${path}: is of another identity, not of ${identity.uri}` };
  return { value };
}

function isResourceDocument(value: unknown): value is ResourceDocument {
  return (
    isRecord(value) &&
    typeof value.key === 'string' &&
    typeof value.version === 'string' &&
    typeof value.document === 'string'
  );
}
