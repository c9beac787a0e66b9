// Finds the bundle that scripts/build.mjs made. Plain JavaScript, for any Node from 18.
import { readFileSync, statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/** Where the bundles are, and which of them is current, below the repository's root. */
export const BUNDLES = 'build/lateral';
export const MANIFEST = `${BUNDLES}/current.json`;

/** What tells whether a file is still the one that was bundled: any write and any replacement changes one of these. */
export function fingerprint(path) {
  const { size, mtimeMs, ctimeMs } = statSync(path);
  return `${size} ${mtimeMs} ${ctimeMs}`;
}

/**
 * The main program of the bundle made of the very sources that are here, as a URL; undefined where there is none, or where any
 * source or the set of installed packages changed since: the sources are run then, never old code.
 */
export function findBundle(root) {
  try {
    const { directory, inputs } = JSON.parse(readFileSync(`${root}${MANIFEST}`, 'utf8'));
    for (const path of Object.keys(inputs)) {
      if (fingerprint(`${root}${path}`) !== inputs[path]) return undefined;
    }
    const main = `${root}${BUNDLES}/${directory}/main.mjs`;
    return statSync(main).isFile() ? pathToFileURL(main).href : undefined;
  } catch {
    return undefined; // no bundle, or a source that is gone
  }
}
