import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { CODES } from '#policy/error/codes.ts';
import { documentedValues } from '../../scripts/helm/documented-values.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'docs/kubernetes');
const pages = readdirSync(folder).map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
const troubleshooting = pages.find(({ name }) => name === 'troubleshooting.md')?.text ?? '';

t.test('troubleshooting.md says what to do about every code, and names no other', async (t) => {
  const named = [...troubleshooting.matchAll(/^\| ((?:`[a-z0-9_]+`(?:, )?)+) \|/gm)].flatMap(
    ([, cell = '']) => cell.match(/[a-z0-9_]+/g) ?? [],
  );
  const codes = Object.keys(CODES).filter((code) => code !== 'allowed');
  t.strictSame(named.toSorted(), codes.toSorted());
});

t.test('every value that a page sets is one of the chart', async (t) => {
  const values = documentedValues(readFileSync(join(root, 'helm/lateral/values.yaml'), 'utf8'));
  const known = values.map(({ path }) => path);
  for (const { name, text } of pages) {
    for (const [, path = ''] of text.matchAll(/--set ([A-Za-z.]+)=/g)) {
      t.ok(
        known.some((value) => value === path || path.startsWith(`${value}.`)),
        `${name}: ${path}`,
      );
    }
  }
});

t.test('every manifest of a page can be read', async (t) => {
  const manifests = pages.flatMap(({ text }) =>
    [...text.matchAll(/<<'EOF'\n([\s\S]*?)\nEOF/g)].flatMap(([, body = '']) => body.split(/^---$/m)),
  );
  t.ok(manifests.length >= 5);
  for (const manifest of manifests) t.match(parse(manifest), { apiVersion: String, kind: String, metadata: {} });
});
