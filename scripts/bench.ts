import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../test/support/free-ports.ts';
import { makeCertificates } from './bench/certificates.ts';
import { buildLoader } from './bench/loader.ts';
import { MEASURES } from './bench/measures/all.ts';
import { measureValidation, VALIDATION } from './bench/measures/validation.ts';
import { HELP, type Options, readOptions, UsageError } from './bench/options.ts';
import { Processes } from './bench/processes.ts';
import { tableOf, verdictsOf } from './bench/report.ts';
import type { Row } from './bench/rows.ts';
import { runMeasure } from './bench/run-measure.ts';
import { lookAround } from './bench/surroundings.ts';
import { judge } from './bench/targets.ts';

/** Exit codes: 0 all was measured, 1 something failed, 2 wrong usage, 130 and 143 ended by a signal. */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
/** Load average of the minute before, above which the machine had something else to do. */
const BUSY_LOAD = 0.5;
const otlpSink = fileURLToPath(new URL('./bench/otlp-sink.ts', import.meta.url));

try {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(HELP);
  else process.exitCode = await bench(options);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`bench: ${error.message}; --help says more\n`);
  process.exitCode = 2;
}

async function bench(options: Options): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'lateral-bench-'));
  const processes = new Processes(directory);
  const leave = async () => {
    await processes.stopForGood();
    await rm(directory, { recursive: true, force: true });
  };
  for (const [signal, code] of Object.entries(SIGNALS)) {
    process.once(signal, () => leave().finally(() => process.exit(code)));
  }
  try {
    return await measureAll(options, processes, directory);
  } catch (error) {
    if (!processes.isStopped) throw error;
    return 1; // the signal's own exit code comes before this one
  } finally {
    await leave();
  }
}

async function measureAll(options: Options, processes: Processes, directory: string): Promise<number> {
  const surroundings = await lookAround(processes);
  const { programs } = surroundings;
  process.stdout.write(`${surroundings.date}, ${surroundings.cpus}, kernel ${surroundings.kernel}\n`);
  if (surroundings.loadBefore > BUSY_LOAD) {
    const load = surroundings.loadBefore.toFixed(1);
    process.stdout.write(`the machine was busy before (load ${load}): these figures are worth little\n`);
  }
  for (const [program, version] of Object.entries(programs)) {
    process.stdout.write(version === null ? absence(program) : `${program} ${version}\n`);
  }
  const certificates = join(directory, 'certificates');
  await mkdir(certificates);
  await makeCertificates(certificates);
  const built = await buildLoader(processes);
  const loader = 'program' in built ? built : undefined;
  const reason = 'program' in built ? '' : built.reason;
  const [sinkPort = 0] = await freePorts(1);
  await processes.serve(process.execPath, [otlpSink, String(sinkPort)], sinkPort);
  const tools = { options, processes, loader, certificates };
  const rows: Row[] = [];
  for (const measure of options.what.flatMap((what) => (what === 'validation' ? [] : MEASURES[what]))) {
    if (measure.needsLoader && loader === undefined) {
      process.stdout.write(`\n${measure.title}\nleft out: it needs the loader, and ${reason}\n`);
      continue;
    }
    const measured = await runMeasure(measure, tools, directory, sinkPort);
    process.stdout.write(tableOf(measure, measured));
    rows.push(...measured);
  }
  if (options.what.includes('validation') && options.only.includes('lateral')) {
    const measured = await measureValidation(tools, directory);
    process.stdout.write(tableOf(VALIDATION, measured));
    rows.push(...measured);
  }
  const targets = judge(rows);
  process.stdout.write(verdictsOf(targets));
  if (options.json !== undefined) {
    const result = { command: process.argv.slice(2), ...surroundings, loader: reason || 'built', rows, targets };
    await writeFile(options.json, `${JSON.stringify(result, null, 1)}\n`);
  }
  return rows.some(({ failure }) => failure !== undefined) ? 1 : 0;
}

function absence(program: string): string {
  const means: { readonly [program: string]: string } = {
    nginx: 'no pair of it, and Node is the app',
    envoy: 'no pair of it',
    wrk: 'Node drives the closed loops, and limits them',
    go: 'no loader: grpc, bodies of 100 MB, rate, handshakes and idle are left out',
  };
  return `${program} is not on the PATH: ${means[program]}\n`;
}
