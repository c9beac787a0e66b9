import { root, runStep } from './run-step.ts';

/** Makes everything that is generated from a source of truth; the drift tests fail when this was forgotten. */
const hasProto = runStep('protobuf types', 'buf', ['generate'], `${root}proto`);
process.exitCode = hasProto ? 0 : 1;
