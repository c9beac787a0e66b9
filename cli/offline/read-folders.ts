import { readPolicyFolder } from '#files/read-policy-folder.ts';
import type { ReadDocument } from '#policy/load-resources.ts';
import type { Problem } from '#policy/problem.ts';
import type { SourceFile } from '#policy/resource-set.ts';

export interface ReadFolders {
  /** Each once, however many of the paths lead to it. */
  readonly files: readonly SourceFile[];
  /** What could not be read. */
  readonly problems: readonly Problem[];
  /** A document beside the resources, of whichever folder has it. */
  readonly readDocument: ReadDocument;
}

/** Reads the files and folders that a command line names. */
export async function readFolders(paths: readonly string[]): Promise<ReadFolders> {
  const folders = await Promise.all(paths.map((path) => readPolicyFolder(path)));
  const files = new Map(folders.flatMap((folder) => folder.files.map((file) => [file.path, file] as const)));
  const readDocument: ReadDocument = (path, encoding) => {
    for (const folder of folders) {
      const text = folder.readDocument(path, encoding);
      if (text !== undefined) return text;
    }
    return undefined;
  };
  return { files: [...files.values()], problems: folders.flatMap(({ problems }) => problems), readDocument };
}
