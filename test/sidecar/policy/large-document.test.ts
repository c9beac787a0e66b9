import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import type { CompiledDocument } from '#policy/validation/api-model.ts';
import { compileValidation } from '#policy/validation/compile-validation.ts';
import { DocumentValidators } from '#policy/validation/instantiate-validators.ts';
import { travellingDocument } from '#policy/validation/travelling-document.ts';
import type { RequestValidation } from '#policy/workload-policy.ts';
import { workerGenerator } from '#sidecar/policy/generate-in-worker.ts';
import { findings, policyOf, schemaOf } from '../../policy/validation/validation-of.ts';
import { githubDescription } from '../../support/github-description.ts';

/** What compiling requests and responses of GitHub's 1,223 operations may take. */
const LIMITS = {
  workerHeapMb: 128,
  compileMs: 20_000,
  sourceCharacters: 12_000_000,
  units: 2_500,
  /** Of operations, sources and validators that wait for their first value. */
  idleHeapBytes: 30_000_000,
  /** With all units made into functions. */
  wholeHeapBytes: 60_000_000,
  leftHeapBytes: 5_000_000,
  firstJudgementMs: 100,
};

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

/** Bytes that are held for good. */
function heldBytes(): number {
  if (typeof collect === 'function') collect();
  return process.memoryUsage().heapUsed;
}

/** The document as taken over from the worker, and what became of it. */
async function compiled(): Promise<{ document: CompiledDocument; validation: RequestValidation; elapsedMs: number }> {
  const generate = workerGenerator({ maxHeapMb: LIMITS.workerHeapMb, maxCachedCharacters: 1 });
  const text = travellingDocument(await githubDescription());
  const started = performance.now();
  let document: CompiledDocument | undefined;
  const { validation } = await compileValidation({
    policies: [policyOf({ schemaRefs: ['github'], response: { body: 'Enforce', headers: 'Enforce' } })],
    schemas: [schemaOf('github', text)],
    generate: async (jobs) => {
      const documents = await generate(jobs);
      document = documents[0];
      return documents;
    },
  });
  if (document === undefined || validation === undefined) throw new Error('nothing came of it');
  return { document, validation, elapsedMs: performance.now() - started };
}

/** Makes all units into functions; the longest time that one took, with a first value. */
function longestFirstJudgement(units: CompiledDocument['units'], validators: DocumentValidators): number {
  let longest = 0;
  for (const [index, unit] of units.entries()) {
    if (typeof unit !== 'string') continue;
    const names = [...unit.matchAll(/exports\.(\w+)/g)].map(([, name = '']) => name);
    if (names.length === 0) throw new Error(`unit ${index} exports nothing`);
    const started = performance.now();
    for (const name of names) validators.validator(index, name)({});
    longest = Math.max(longest, performance.now() - started);
  }
  return longest;
}

async function figures(before: number) {
  const { document, validation, elapsedMs } = await compiled();
  const idle = heldBytes() - before;
  const validators = new DocumentValidators(document.units);
  const longest = longestFirstJudgement(document.units, validators);
  const whole = heldBytes() - before;
  const unknown = findings(validation, 'GET /nowhere')[0]?.code;
  const { units } = document;
  const characters = units.reduce((sum, unit) => sum + (typeof unit === 'string' ? unit.length : 0), 0);
  // asked last, so that nothing of them could be collected before
  const operations = document.operations.length + Number(validators === undefined);
  return { elapsedMs, idle, whole, longest, characters, units: units.length, operations, unknown };
}

t.test("GitHub's description is compiled and held within limits, and nothing of it stays", async (t) => {
  travellingDocument(await githubDescription());
  const { elapsedMs, idle, whole, longest, characters, units, operations, unknown } = await figures(heldBytes());
  // What is loaded and remembered for the first document stays for all.
  const before = heldBytes();
  await figures(before);
  const left = heldBytes() - before;
  t.equal(operations, 1223);
  t.equal(unknown, 'undocumented_path');
  t.ok(elapsedMs < LIMITS.compileMs, `compiled in ${elapsedMs.toFixed(0)} ms`);
  t.ok(characters < LIMITS.sourceCharacters, `${characters} characters of source`);
  t.ok(units < LIMITS.units, `${units} units`);
  t.ok(idle < LIMITS.idleHeapBytes, `${idle} bytes while nothing is judged`);
  t.ok(whole < LIMITS.wholeHeapBytes, `${whole} bytes with all validators`);
  t.ok(longest < LIMITS.firstJudgementMs, `the longest first judgement took ${longest.toFixed(1)} ms`);
  t.ok(left < LIMITS.leftHeapBytes, `${left} bytes when it is no more in force`);
  t.comment(
    `${elapsedMs.toFixed(0)} ms, ${characters} characters in ${units} units, bytes ${idle}, ${whole}, ${left}, ${longest.toFixed(1)} ms`,
  );
});
