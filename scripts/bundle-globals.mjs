// What of Node's globals the bundle takes from modules: as globals they are accessors, which no compiler sees through, and
// the data path asks for them at every turn (6% of its CPU).
export { Buffer } from 'node:buffer';
export { performance } from 'node:perf_hooks';
export { default as process } from 'node:process';
