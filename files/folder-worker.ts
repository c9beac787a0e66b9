import { enableCompileCache } from 'node:module';
import { parentPort } from 'node:worker_threads';
import type { FolderQuestion } from './folder-reader.ts';

enableCompileCache(); // before the readers are loaded
const { readFolder } = await import('./read-folder.ts');

/** Reads the folder that it is asked for, each time it is asked. What was made of descriptions stays from one reading to the next. */
parentPort?.on('message', async ({ directory, mesh }: FolderQuestion) => {
  parentPort?.postMessage(await readFolder(directory, mesh));
});
