import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LICENCE_FILE = /^(licen[cs]e|unlicense|notice|copying)/i;

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/**
 * What the bundle was made of stays under its authors' terms: below `target` every package has a folder NAME@VERSION with its
 * licence texts, or its own statement of the licence where it brings no text. `places`: folders of packages below `source`.
 */
export function copyLicences(source: string, places: readonly string[], target: string): void {
  for (const place of places) {
    const from = join(source, place);
    const { name, version, license }: Manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'));
    const to = join(target, `${name}@${version}`);
    mkdirSync(to, { recursive: true });
    const texts = readdirSync(from).filter((file) => LICENCE_FILE.test(file));
    for (const file of texts) copyFileSync(join(from, file), join(to, file));
    if (texts.length > 0) continue;
    if (license === undefined) throw new Error(`${name} ${version} is in the bundle and says nothing of its licence`);
    writeFileSync(join(to, 'LICENSE'), `SPDX-License-Identifier: ${license}\n`);
  }
}
