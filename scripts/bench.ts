import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { freePorts } from '../test/support/free-ports.ts';
import { envoyPair } from './bench/envoy-pair.ts';
import { cpuSeconds, load, privateMegabytes } from './bench/load.ts';
import { answers, type Ground, installed, lateralPair, makeCertificates, nginxPair, type Pair } from './bench/pairs.ts';

const HELP = `Usage: npm run bench -- [--connections 1,32,128] [--seconds 4] [--rounds 3] [--json FILE]

A pair of Lateral's sidecars beside pairs of Envoy and nginx (where "envoy" and "nginx" are on the PATH), in one run, in
turn: mutual TLS 1.3, ten rules (nginx: none), an access log, 1 kB answers. Driven by wrk where it is on the PATH.
Absolute figures change from machine to machine: read the ratios. Figures of CPU and memory need Linux.
`;

/** Medians over the rounds. */
interface Row {
  readonly connections: number;
  readonly pair: string;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosecondsOut: number;
  readonly cpuMicrosecondsIn: number;
  readonly megabytesOut: number;
  readonly megabytesIn: number;
  readonly errors: number;
}

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '1,32,128' },
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (values.help === true) process.stdout.write(HELP);
else await bench(values.connections.split(',').map(Number), Number(values.seconds), Number(values.rounds), values.json);

async function bench(
  counts: readonly number[],
  seconds: number,
  rounds: number,
  json: string | undefined,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'lateral-bench-'));
  const children: ChildProcess[] = [];
  const start = (program: string, args: readonly string[]) => {
    const child = spawn(program, args, { stdio: 'ignore' });
    children.push(child);
    return child;
  };
  try {
    await makeCertificates(directory);
    const appPort = await startApp(directory, start);
    const pairs = await startPairs({ directory, appPort, start });
    for (const { port } of pairs) await load(port, 8, 2); // warm: code compiled, connections made
    const rows: Row[] = [];
    for (const connections of counts) {
      const samples = new Map<string, Row[]>();
      for (let round = 0; round < rounds; round++) {
        for (const pair of pairs) {
          const sample = await measure(pair, connections, seconds);
          samples.set(pair.name, [...(samples.get(pair.name) ?? []), sample]);
        }
      }
      for (const all of samples.values()) rows.push(medianOf(all));
    }
    print(rows);
    if (json !== undefined) await writeFile(json, `${JSON.stringify(rows, null, 1)}\n`);
  } finally {
    for (const child of children) child.kill('SIGTERM');
    await Promise.all(
      children.map((child) => (child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined)),
    );
    await rm(directory, { recursive: true, force: true });
  }
}

/** nginx where it is installed, else a Node server in this process. */
async function startApp(directory: string, start: Ground['start']): Promise<number> {
  const [port = 0] = await freePorts(1);
  const nginx = installed('nginx');
  if (nginx === undefined) {
    const body = 'x'.repeat(1_024);
    http
      .createServer((_request, response) => response.end(body))
      .listen(port, '127.0.0.1')
      .unref();
    return port;
  }
  await writeFile(join(directory, '1k'), 'x'.repeat(1_024));
  await writeFile(
    join(directory, 'app.conf'),
    `user root; worker_processes 1; daemon off; pid ${directory}/app.pid; error_log ${directory}/app.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 600s; server { listen 127.0.0.1:${port}; location / { root ${directory}; } } }
`,
  );
  start(nginx, ['-c', join(directory, 'app.conf')]);
  await answers(port);
  return port;
}

async function startPairs(ground: Ground): Promise<Pair[]> {
  const pairs: Pair[] = [{ name: 'direct', port: ground.appPort, client: undefined, server: undefined }];
  const nginx = installed('nginx');
  const envoy = installed('envoy');
  if (nginx !== undefined) pairs.push(await nginxPair(ground, nginx));
  if (envoy !== undefined) pairs.push(await envoyPair(ground, envoy));
  for (const [name, found] of [
    ['nginx', nginx],
    ['envoy', envoy],
    ['wrk', installed('wrk')],
  ] as const) {
    if (found === undefined) process.stdout.write(`${name} is not on the PATH: left out\n`);
  }
  pairs.push(await lateralPair(ground));
  return pairs;
}

async function measure({ name, port, client, server }: Pair, connections: number, seconds: number): Promise<Row> {
  process.stderr.write(`${name} at ${connections} connections …\n`);
  const before = [cpuSeconds(client?.pid), cpuSeconds(server?.pid)] as const;
  const { requests, perSecond, p50Ms, p99Ms, errors } = await load(port, connections, seconds);
  const perRequest = (used: number) => (used / Math.max(requests, 1)) * 1e6;
  return {
    connections,
    pair: name,
    requestsPerSecond: perSecond,
    p50Ms,
    p99Ms,
    cpuMicrosecondsOut: perRequest(cpuSeconds(client?.pid) - before[0]),
    cpuMicrosecondsIn: perRequest(cpuSeconds(server?.pid) - before[1]),
    megabytesOut: privateMegabytes(client?.pid),
    megabytesIn: privateMegabytes(server?.pid),
    errors,
  };
}

function medianOf(samples: readonly Row[]): Row {
  const [first] = samples;
  if (first === undefined) throw new Error('no sample');
  const median = (read: (row: Row) => number) =>
    samples.map(read).sort((left, right) => left - right)[Math.floor(samples.length / 2)] ?? 0;
  return {
    connections: first.connections,
    pair: first.pair,
    requestsPerSecond: median((row) => row.requestsPerSecond),
    p50Ms: median((row) => row.p50Ms),
    p99Ms: median((row) => row.p99Ms),
    cpuMicrosecondsOut: median((row) => row.cpuMicrosecondsOut),
    cpuMicrosecondsIn: median((row) => row.cpuMicrosecondsIn),
    megabytesOut: median((row) => row.megabytesOut),
    megabytesIn: median((row) => row.megabytesIn),
    errors: samples.reduce((sum, row) => sum + row.errors, 0),
  };
}

function print(rows: readonly Row[]): void {
  const line = (cells: readonly (string | number)[]) =>
    `${cells.map((cell, index) => (index === 1 ? String(cell).padEnd(8) : String(cell).padStart(10))).join(' ')}\n`;
  process.stdout.write(
    line(['conns', 'pair', 'req/s', 'p50 ms', 'p99 ms', 'us/req out', 'us/req in', 'MB out', 'MB in', 'errors']),
  );
  for (const row of rows) {
    const numbers = [
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.cpuMicrosecondsOut.toFixed(1),
      row.cpuMicrosecondsIn.toFixed(1),
      row.megabytesOut.toFixed(1),
      row.megabytesIn.toFixed(1),
      row.errors,
    ];
    process.stdout.write(line([row.connections, row.pair, row.requestsPerSecond.toFixed(0), ...numbers]));
  }
  for (const own of rows.filter(({ pair }) => pair === 'lateral')) {
    for (const other of rows) {
      if (other.connections !== own.connections || other.pair === 'lateral' || other.pair === 'direct') continue;
      const rate = (own.requestsPerSecond / other.requestsPerSecond).toFixed(2);
      const cpu = (
        (own.cpuMicrosecondsOut + own.cpuMicrosecondsIn) /
        (other.cpuMicrosecondsOut + other.cpuMicrosecondsIn)
      ).toFixed(2);
      process.stdout.write(
        `${own.connections} connections: lateral / ${other.pair}: requests/s x${rate}, CPU per request x${cpu}, p99 x${(own.p99Ms / other.p99Ms).toFixed(2)}\n`,
      );
    }
  }
}
