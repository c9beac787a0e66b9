// What `lateral control-plane` runs with: flags of Node and V8, and environment. Plain JavaScript, for any Node from 20.
import { notGiven } from './sidecar-flags.mjs';

/**
 * Thousands of streams stand still most of the time, and then a change goes to each: a small young generation, and old garbage
 * collected at one and a half times what lives, not at four times, keep what passes from staying. Figures: docs/performance.md.
 */
const FLAGS = ['--max-semi-space-size=4', '--v8-pool-size=1'];
/** The major version of Node whose V8 is known to take OWN_FLAGS: an unknown flag is a program that does not start. */
const FLAGS_MAJOR = 26;
const OWN_FLAGS = ['--heap-growing-percent=50'];

/**
 * glibc gives a block of 16 KB and more pages of its own. They go back to the system when it is freed, and what of them was
 * never written takes no memory: each connection has three such buffers (64, 16 and 16 KB) and writes little of them. Left alone
 * glibc raises the bound to the largest block it ever freed (an update of hundreds of KB), and puts them into used memory. No
 * padding at the top of the heap, as a block that fits there is put there, whatever its size.
 */
const MALLOC = { MALLOC_MMAP_THRESHOLD_: '16384', MALLOC_TOP_PAD_: '0' };

/** Those flags that neither the command line of Node (`execArgv`) nor NODE_OPTIONS sets: what a user says wins. */
export function missingControlPlaneFlags(nodeMajor, execArgv, nodeOptions = '') {
  return notGiven(nodeMajor === FLAGS_MAJOR ? [...FLAGS, ...OWN_FLAGS] : FLAGS, execArgv, nodeOptions);
}

/** The environment with the allocator's settings, where a user sets none. */
export function controlPlaneEnvironment(environment) {
  return environment.GLIBC_TUNABLES === undefined ? { ...MALLOC, ...environment } : environment;
}
