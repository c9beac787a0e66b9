import { readFileSync, realpathSync, statSync } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { Problem } from '#policy/problem.ts';
import { MAX_SCHEMA_DOCUMENT_BYTES } from '#policy/resource/kinds/api-schema.ts';
import type { DocumentEncoding } from '#policy/resource/read-resource.ts';
import type { SourceFile } from '#policy/resource-set.ts';

/** More resource files in one folder are refused. */
export const MAX_POLICY_FILES = 10_000;
/** More bytes of resources in one folder are refused: reading takes about a second a megabyte. */
export const MAX_FOLDER_BYTES = 16 * 1024 * 1024;
/** A policy folder (or one policy file), read. */
export interface PolicyFolder {
  /** Sorted by path; paths begin with the root as it was given. */
  readonly files: readonly SourceFile[];
  /** What could not be read; with any of these the folder must not be put in force. */
  readonly problems: readonly Problem[];
  /** A schema document within the folder, as text or its bytes in base64, or undefined. */
  readDocument(path: string, encoding: DocumentEncoding): string | undefined;
}

/**
 * Reads every `*.yaml` and `*.yml` of a folder and of the folders in it, or the one file that `root` names. Names
 * that begin with a dot are left out. Links to files within the folder are followed (a mounted ConfigMap is made
 * of them), links to folders are not, and one that leads out of the folder is a problem. Never throws for what it
 * finds in the folder; a root that is not there is a problem too.
 */
export async function readPolicyFolder(root: string): Promise<PolicyFolder> {
  const files: SourceFile[] = [];
  const problems: Problem[] = [];
  const report = (file: string, message: string) =>
    problems.push({ file, line: 1, column: 1, severity: 'error', code: 'unreadable_file', message });
  let bytes = 0;

  async function readOne(path: string, isRoot: boolean): Promise<void> {
    if (files.length >= MAX_POLICY_FILES) return;
    try {
      if (!isRoot && !isWithin(await realpath(root), await realpath(path))) {
        report(path, 'a symbolic link that leads out of the policy folder');
        return;
      }
      bytes += (await stat(path)).size;
      if (bytes > MAX_FOLDER_BYTES) return;
      files.push({ path, text: await readFile(path, 'utf8') });
    } catch (error) {
      report(path, `cannot be read: ${messageOf(error)}`);
    }
  }

  async function walk(folder: string): Promise<void> {
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      report(folder, `cannot be read: ${messageOf(error)}`);
      return [];
    });
    for (const entry of entries.sort((left, right) => (left.name < right.name ? -1 : 1))) {
      if (entry.name.startsWith('.')) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) await walk(path);
      else if (/\.ya?ml$/.test(entry.name)) await readOne(path, false);
    }
  }

  const found = await stat(root).catch((error: unknown) => {
    report(root, `cannot be read: ${messageOf(error)}`);
    return undefined;
  });
  const isFolder = found?.isDirectory() === true;
  if (isFolder) await walk(root);
  else if (found !== undefined) await readOne(root, true);
  if (files.length >= MAX_POLICY_FILES) report(root, `more than ${MAX_POLICY_FILES} resource files`);
  if (bytes > MAX_FOLDER_BYTES) report(root, `more than ${MAX_FOLDER_BYTES} bytes of resource files`);
  const documents = isFolder ? root : dirname(root);
  return { files, problems, readDocument: (path, encoding) => readWithin(documents, path, encoding) };
}

function readWithin(root: string, path: string, encoding: DocumentEncoding): string | undefined {
  try {
    const real = realpathSync(path);
    if (!isWithin(realpathSync(root), real)) return undefined;
    const { size } = statSync(real);
    return size > MAX_SCHEMA_DOCUMENT_BYTES ? undefined : readFileSync(real, encoding);
  } catch {
    return undefined; // the caller names file and place
  }
}

function isWithin(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : `${root}${sep}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
