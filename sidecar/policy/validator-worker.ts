import { parentPort, workerData } from 'node:worker_threads';
import { generateValidators } from '#policy/validation/generate-validators.ts';

/**
 * Compiles the documents of `workerData`, in their order, and posts one `GeneratedValidator` for each. Runs
 * apart from traffic, in its own heap and for one change only: a document that takes all memory or time takes
 * no request with it.
 */
for (const document of Array.isArray(workerData) ? workerData : []) {
  const [generated] = await generateValidators([{ name: '', document: String(document) }]);
  parentPort?.postMessage(generated);
}
