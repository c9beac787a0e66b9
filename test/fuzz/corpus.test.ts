import t from 'tap';
import { MAX_CORPUS_BYTES, readCorpus } from './corpus.ts';
import { MAX_RUN_MS } from './fuzz-target.ts';
import { TARGETS } from './targets.ts';

for (const target of TARGETS) {
  t.test(`${target.name} holds its invariants on its seeds and on all that fuzzing has found`, async (t) => {
    const entries = readCorpus(target.name);
    t.ok(entries.length > 0, 'there is a corpus');
    t.ok(entries.reduce((sum, { bytes }) => sum + bytes.length, 0) <= MAX_CORPUS_BYTES);
    const outcomes = new Set<string>();
    const seeds = target.seeds().map((bytes, index) => ({ file: `seed ${index}`, bytes }));
    for (const { file, bytes } of [...seeds, ...entries]) {
      const begun = process.cpuUsage();
      try {
        outcomes.add(target.run(bytes));
      } catch (error) {
        t.fail(`${file}: ${error instanceof Error ? error.message : error}`);
      }
      const { user, system } = process.cpuUsage(begun); // others may have the processor meanwhile
      const tookMs = (user + system) / 1_000;
      if (tookMs > MAX_RUN_MS) t.fail(`${file} took ${tookMs} ms of CPU`);
    }
    t.ok(outcomes.size > seeds.length / 10, `${outcomes.size} outcomes`);
  });
}
