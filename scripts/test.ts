import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { environment, root, runStep } from './run-step.ts';

/**
 * `npm test [FILE…]`: types, lint, then every test by tap. The last line is `N passed, N failed`; a type
 * error or a lint error counts as one failure each.
 */
let passed = 0;
let failed = 0;

const files = process.argv.slice(2);
if (files.length === 0) {
  if (runStep('types', 'tsc', ['--noEmit'])) passed++;
  else failed++;
  if (runStep('lint', 'biome', ['ci', '--log-level=error', '.'])) passed++;
  else failed++;
}
// tap's TypeScript plug-in is off (Node strips types itself); tap wants to be built once after that
const built = `${root}node_modules/.lateral-tap-built`;
if (!existsSync(built)) {
  if (!runStep('tap, once after the install', 'tap', ['build'])) process.exit(1);
  writeFileSync(built, '');
}
await runTap();
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;

/** Reads tap's output: a line a file, and everything of a file in which something failed. */
async function runTap(): Promise<void> {
  const child = spawn(`${root}node_modules/.bin/tap`, ['run', '--reporter=tap', ...files], {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let block: string[] = [];
  let tests = 0;
  let failures = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    block.push(line);
    // a titled test of a file stands four spaces in; the file itself at the margin
    if (/^ {4}ok \d/.test(line)) tests++;
    else if (/^ {4}not ok \d/.test(line)) failures++;
    const file = /^(ok|not ok) \d+ - (\S+)/.exec(line);
    if (file === null) continue;
    const isGood = file[1] === 'ok';
    if (!isGood && failures === 0) failures = 1; // it crashed, or ran no test
    if (!isGood) process.stdout.write(`${block.join('\n')}\n`);
    process.stdout.write(
      `${isGood ? 'ok    ' : 'FAILED'} ${file[2]} (${tests} passed${isGood ? '' : `, ${failures} failed`})\n`,
    );
    passed += tests;
    failed += failures;
    block = [];
    tests = 0;
    failures = 0;
  }
  const code = await new Promise<number | null>((resolve) =>
    child.exitCode === null ? child.on('close', resolve) : resolve(child.exitCode),
  );
  if (code !== 0 && failed === 0) failed++;
}
