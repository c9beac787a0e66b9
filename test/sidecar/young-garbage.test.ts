import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

const PROGRAM = fileURLToPath(new URL('young-garbage.ts', import.meta.url));
/** Those of bin/sidecar-flags.mjs that bear on it, and the means to make old what is held. */
const FLAGS = ['--max-semi-space-size=4', '--no-allocation-site-pretenuring', '--expose-gc'];
/** What a few hundred thousand objects may leave among the old ones: tables that grew, code's own data. */
const MAX_GROWN_BYTES = 2_000_000;

/** Bytes by which the old generation grew. */
async function grown(structure: string): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [...FLAGS, PROGRAM, structure]);
  return Number(stdout);
}

t.test('what ends young is not taken for old', async (t) => {
  const bytes = await grown('ours');
  t.comment(`${bytes} bytes`);
  t.ok(bytes < MAX_GROWN_BYTES, `${bytes} bytes`);
});

t.test('a Map would have it so: the reason for the structures above', async (t) => {
  const bytes = await grown('map');
  t.comment(`${bytes} bytes`);
  t.ok(bytes > MAX_GROWN_BYTES, `${bytes} bytes; if V8 has mended this, a Map will do`);
});
