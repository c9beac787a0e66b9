// The flags of Node and V8 that `lateral sidecar` runs with. Plain JavaScript, for any Node from 20.

/**
 * A small young generation, collected often and quickly: a proxy keeps little and throws away much. It works at the
 * start of a process only, not by v8.setFlagsFromString. One thread beside the main one, to compile and collect, is as fast as
 * Node's four, and takes 4 MB less. Figures: docs/performance.md.
 */
const SIDECAR_FLAGS = ['--max-semi-space-size=4', '--v8-pool-size=1'];
/** The major version of Node whose V8 is known to take OWN_FLAGS: an unknown flag is a program that does not start. */
const FLAGS_MAJOR = 26;
/**
 * Garbage that got old is collected at twice what lives, not at four times. Two compilers do, not three, and as every request
 * takes the same path, the better one begins after 1,500 calls, not 3,000. A small young generation is collected sooner by one
 * thread than it takes to wake others. And nothing is put among the old at birth: V8 decides that by where in the code an object
 * is made, once and for all, and one part of a request that is old keeps all of it until the next full collection.
 */
const OWN_FLAGS = [
  '--heap-growing-percent=100',
  '--no-maglev',
  '--no-parallel-scavenge',
  '--no-allocation-site-pretenuring',
  '--invocation-count-for-turbofan=1500',
];

/** Those flags that neither the command line of Node (`execArgv`) nor NODE_OPTIONS sets: what a user says wins. */
export function missingSidecarFlags(nodeMajor, execArgv, nodeOptions = '') {
  const flags = nodeMajor === FLAGS_MAJOR ? [...SIDECAR_FLAGS, ...OWN_FLAGS] : SIDECAR_FLAGS;
  return notGiven(flags, execArgv, nodeOptions);
}

/** Those of `flags` that are not among the given ones. */
export function notGiven(flags, execArgv, nodeOptions) {
  const given = new Set([...execArgv, ...nodeOptions.split(/\s+/)].map(nameOf));
  return flags.filter((flag) => !given.has(nameOf(flag)));
}

/** `--max_semi_space_size=1` and `--max-semi-space-size=4` set the same, so do `--maglev` and `--no-maglev`. */
function nameOf(flag) {
  return flag
    .split('=', 1)[0]
    .replaceAll('_', '-')
    .replace(/^--no-/, '--');
}
