import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { startProgram } from '../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { startPair } from '../support/sidecar-pair.ts';
import { startApp } from '../support/start-app.ts';
import { readH2specReport } from './h2spec-report.ts';

/** What h2spec 2.6.0 has with --strict; a run that ends early is not a run that passes. */
const ALL_CASES = 147;
/** h2spec waits so long, in seconds, for what a case expects. */
const CASE_TIMEOUT_S = '5';
const RUN_TIMEOUT_MS = 300_000;
const SUMMARY_LENGTH = 500;

t.setTimeout(GO_TEST_TIMEOUT_MS);

const tools = await goTools(t, 'h2spec', 'forwarder');
if (tools !== undefined) {
  t.test('inbound passes h2spec', async (t) => {
    // some cases need a response of some length, to stop it in its middle by flow control
    const app = await startApp(t, (request, response) => {
      request.resume();
      request.on('end', () => response.end('a response that takes some DATA frames '.repeat(30)));
    });
    const pair = await startPair(t, app.port);
    const { cert, key } = pair.authority.leaf('spiffe://cluster.local/ns/test/sa/h2spec');
    const file = (name: string) => join(pair.directory, name);
    await writeFile(file('h2spec.pem'), cert);
    await writeFile(file('h2spec.key'), key, { mode: 0o600 });
    // h2spec has no client certificate to show: it speaks plaintext to a forwarder that has one
    const forwarder = await startProgram(t, tools.forwarder, [
      ...['-to', `127.0.0.1:${pair.inboundPort}`, '-ca', file('ca.pem')],
      ...['-certificate', file('h2spec.pem'), '-key', file('h2spec.key')],
    ]);
    const report = file('h2spec.xml');
    const output = await runH2spec(tools.h2spec, forwarder.port, report);
    const cases = readH2specReport(await readFile(report, 'utf8').catch(() => ''));
    t.equal(cases.length, ALL_CASES, 'every case was run', { summary: output.slice(-SUMMARY_LENGTH) });
    for (const { section, title, outcome, detail } of cases)
      t.equal(outcome, 'passed', `${section}: ${title}`, { detail });
  });
}

/** Its output. Cases that fail make it exit with 1; the report says which. */
function runH2spec(path: string, port: number, report: string): Promise<string> {
  const sections = ['generic', 'http2', 'hpack'];
  const args = ['--strict', '-h', '127.0.0.1', '-p', `${port}`, '-o', CASE_TIMEOUT_S, '-j', report, ...sections];
  return new Promise((resolve) => {
    execFile(path, args, { timeout: RUN_TIMEOUT_MS }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}
