import { once } from 'node:events';
import { enableCompileCache } from 'node:module';
import { parentPort } from 'node:worker_threads';
import type { GeneratedValidator, ValidatorJob } from '#policy/validation/generate-validators.ts';
import { partsOf } from './generated-parts.ts';

// before the compiler is loaded: a start waits for this, and the cache halves it
enableCompileCache();
const { generateValidators } = await import('#policy/validation/generate-validators.ts');

/**
 * Compiles the documents it is sent, in their order, and posts the parts of what comes of each, a part when the last was taken. Runs apart from
 * traffic, in its own heap and for one change only: a document that takes all memory or time takes no request
 * with it.
 */
parentPort?.once('message', async (jobs: readonly ValidatorJob[]) => {
  for (const job of jobs) for (const generated of await generateValidators([job])) await post(generated);
});

async function post(generated: GeneratedValidator): Promise<void> {
  for (const part of partsOf(generated)) {
    if (parentPort === null) return;
    parentPort.postMessage(part);
    await once(parentPort, 'message');
  }
}
