import { runStep } from './run-step.ts';

const typesHold = runStep('types', 'tsc', ['--noEmit']);
const lintHolds = runStep('lint', 'biome', ['ci', '--log-level=error', '.']);
process.exitCode = typesHold && lintHolds ? 0 : 1;
