import { runStep } from './run-step.ts';
import { runTap } from './run-tap.ts';

/**
 * `npm test [FILE…]`: types, lint, then every test by tap. The last line is `N passed, N failed`; a type
 * error or a lint error counts as one failure each.
 */
let passed = 0;
let failed = 0;

const files = process.argv.slice(2);
if (files.length === 0) {
  if (runStep('types', 'tsc', ['--noEmit'])) passed++;
  else failed++;
  if (runStep('lint', 'biome', ['ci', '--log-level=error', '.'])) passed++;
  else failed++;
}
const tests = await runTap(files);
passed += tests.passed;
failed += tests.failed;
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
