import { writeFileSync } from 'node:fs';
import { resultsPage } from './json-schema/results-page.ts';
import { hasSuite } from './json-schema/run-suite.ts';
import { PAGES } from './reference/pages.ts';
import { root, runStep } from './run-step.ts';

/** Makes everything that is generated from a source of truth; the drift tests fail when this was forgotten. */
for (const [path, page] of Object.entries(PAGES)) writeFileSync(`${root}${path}`, page());
if (hasSuite) writeFileSync(`${root}docs/json-schema.md`, await resultsPage());
const hasProto = runStep('protobuf types', 'buf', ['generate'], `${root}proto`);
process.exitCode = hasProto ? 0 : 1;
