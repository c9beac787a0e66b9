import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

const PACKAGE = '@octokit/openapi@23.0.2';
const MEMBER = 'package/generated/api.github.com.json';
const SHA256 = '829b4bebb19a53133289f7b0bc819f4f1118115821db2ca9f25e9ee995a7da2a';
const CACHED = fileURLToPath(new URL('../../node_modules/.cache/lateral/api.github.com.json', import.meta.url));

/** GitHub's own description of its API: OpenAPI 3.0.3, 13 MB. Its package has 385 MB of others: one file of it is kept. */
export async function githubDescription(): Promise<string> {
  return cached() ?? (await fetchIt());
}

function cached(): string | undefined {
  try {
    const text = readFileSync(CACHED, 'utf8');
    return createHash('sha256').update(text).digest('hex') === SHA256 ? text : undefined;
  } catch {
    return undefined;
  }
}

async function fetchIt(): Promise<string> {
  const folder = `${CACHED}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    const { stdout } = await run('npm', ['pack', PACKAGE, '--silent', '--pack-destination', folder]);
    await run('tar', ['-xzf', `${folder}/${stdout.trim().split('\n').at(-1)}`, '-C', folder, MEMBER]);
    mkdirSync(dirname(CACHED), { recursive: true });
    renameSync(`${folder}/${MEMBER}`, CACHED);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const text = cached();
  if (text === undefined) throw new Error(`${PACKAGE} does not hold the description with hash ${SHA256}`);
  return text;
}
