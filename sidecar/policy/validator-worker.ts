import { enableCompileCache } from 'node:module';
import { parentPort } from 'node:worker_threads';
import type { ValidatorJob } from '#policy/validation/generate-validators.ts';

// before the compiler is loaded: a start waits for this, and the cache halves it
enableCompileCache();
const { generateValidators } = await import('#policy/validation/generate-validators.ts');

/**
 * Compiles the documents it is sent, in their order, and posts one `GeneratedValidator` for each. Runs apart from
 * traffic, in its own heap and for one change only: a document that takes all memory or time takes no request
 * with it.
 */
parentPort?.once('message', async (jobs: readonly ValidatorJob[]) => {
  for (const job of jobs) {
    const [generated] = await generateValidators([job]);
    parentPort?.postMessage(generated);
  }
});
