import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { environment, root, runStep } from './run-step.ts';

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
}

/** Runs tests by tap and prints a line a file, and everything of a file in which something failed. */
export async function runTap(args: readonly string[]): Promise<TestCounts> {
  // tap's TypeScript plug-in is off (Node strips types itself); tap wants to be built once after that
  const built = `${root}node_modules/.lateral-tap-built`;
  if (!existsSync(built)) {
    if (!runStep('tap, once after the install', 'tap', ['build'])) return { passed: 0, failed: 1 };
    writeFileSync(built, '');
  }
  const child = spawn(`${root}node_modules/.bin/tap`, ['run', '--reporter=tap', ...args], {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const total = { passed: 0, failed: 0 };
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
    total.passed += tests;
    total.failed += failures;
    block = [];
    tests = 0;
    failures = 0;
  }
  const code = await new Promise<number | null>((resolve) =>
    child.exitCode === null ? child.on('close', resolve) : resolve(child.exitCode),
  );
  if (code !== 0 && total.failed === 0) total.failed++;
  if (args.length === 0) await rm(`${root}.tap/fixtures`, { recursive: true, force: true, maxRetries: 3 });
  return total;
}
