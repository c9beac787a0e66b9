import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { resultsPage } from '../../../scripts/json-schema/results-page.ts';
import { hasSuite, runSuite } from '../../../scripts/json-schema/run-suite.ts';

const page = readFileSync(fileURLToPath(new URL('../../../docs/json-schema.md', import.meta.url)), 'utf8');
const skip = hasSuite ? false : 'the official suite is not beside the project';

t.test('the results of the official suite are those of the docs, each failure with its reason', { skip }, async (t) => {
  t.equal(await resultsPage(), page, 'run npm run generate');
});

for (const draft of ['draft2020-12', 'draft4'] as const) {
  t.test(`${draft}: 99 % of the verdicts are right, and no value is passed that should not be`, { skip }, async (t) => {
    const results = (await runSuite(draft)).filter(({ file }) => !file.startsWith('optional/'));
    const right = results.filter(({ outcome }) => outcome === 'right');
    t.ok(right.length >= 0.99 * results.length, `${right.length} of ${results.length}`);
    t.same(
      results.filter(({ outcome }) => outcome === 'wrong'),
      [],
    );
  });
}
