import { readBoundedFile } from './read-bounded-file.ts';

/** What a JSON file of at most `maxBytes` holds; undefined when there is no file, or it is not JSON. */
export async function readJsonFile(path: string, maxBytes: number): Promise<unknown> {
  const file = await readBoundedFile(path, maxBytes);
  if (file === undefined) return undefined;
  try {
    return JSON.parse(file.text);
  } catch {
    return undefined;
  }
}
