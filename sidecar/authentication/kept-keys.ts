import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { makePrivate } from '#files/make-private.ts';
import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import { MAX_KEY_SET_BYTES } from '#policy/authentication/key-set.ts';
import type { RemoteKeySource } from '#policy/authentication/token-rule.ts';
import { isRecord } from '#policy/schema/schema.ts';

/** A JWK set as a JSON text, in a JSON document: escaping may double it. */
const MAX_FILE_BYTES = 2 * MAX_KEY_SET_BYTES + 64 * 1024;
const FORMAT = 1;

/** The last good keys of issuers across restarts; one file a source. */
export interface KeptKeys {
  /** Undefined: none are kept, or not in a way that can be believed. */
  read(source: RemoteKeySource): Promise<string | undefined>;
  write(source: RemoteKeySource, text: string): Promise<void>;
}

/** In the sidecar's state directory, which nobody else may write: who can, decides whose tokens are good. */
export function keysKeptIn(directory: string): KeptKeys {
  const privacy = makePrivate(directory);
  const pathOf = ({ key }: RemoteKeySource) =>
    join(directory, `issuer-keys-${createHash('sha256').update(key).digest('hex').slice(0, 32)}.json`);
  return {
    async read(source) {
      if ((await privacy) !== undefined) return undefined;
      const file = await readBoundedFile(pathOf(source), MAX_FILE_BYTES).catch(() => undefined);
      if (file === undefined || isSharedMode(file.mode)) return undefined;
      try {
        const stored: unknown = JSON.parse(file.text);
        const isWhole = isRecord(stored) && stored.format === FORMAT && stored.source === source.key;
        return isWhole && typeof stored.keys === 'string' ? stored.keys : undefined;
      } catch {
        return undefined;
      }
    },
    async write(source, text) {
      const complaint = await privacy;
      if (complaint !== undefined) throw new Error(complaint);
      await writeFileAtomically(
        pathOf(source),
        `${JSON.stringify({ format: FORMAT, source: source.key, keys: text })}\n`,
      );
    },
  };
}

export const NOTHING_KEPT: KeptKeys = { read: async () => undefined, write: async () => {} };
