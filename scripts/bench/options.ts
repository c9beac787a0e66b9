import { parseArgs } from 'node:util';

export const PAIRS = ['direct', 'nginx', 'envoy', 'lateral'] as const;
export const WHAT = ['http', 'grpc', 'bodies', 'rate', 'handshakes', 'idle', 'validation'] as const;
export type PairName = (typeof PAIRS)[number];
export type What = (typeof WHAT)[number];

/** More idle connections than this do not fit into the ports and the limits of one machine. */
const MAX_IDLE = 10_000;
const MAX_CONNECTIONS = 4_096;
const MAX_SECONDS = 60;
const MAX_ROUNDS = 99;

export interface Options {
  readonly only: readonly PairName[];
  readonly what: readonly What[];
  readonly connections: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly idle: number;
  readonly json: string | undefined;
}

export const HELP = `Usage: npm run bench -- [OPTIONS]

What two sidecars cost, the caller's and the callee's: a pair of Lateral's beside pairs of Envoy and nginx, in one run and
in turn, all of them with mutual TLS 1.3 (P-256), ten authorization rules of which the last matches (nginx: none), an access
log to a file and 1% of the traces sent to a collector (nginx: none). "direct" is the same load without any proxy.

  --what LIST         of: ${WHAT.join(', ')} (default: all)
                        http        requests one after the other on each connection, answers of 1 kB: as fast as it goes
                        grpc        unary calls, 32 and 128 in flight on 1 and on 4 connections; h2c, mutual TLS, h2c
                        bodies      answers of 64 kB, then one body of 100 MB down and up: bytes/s, memory meanwhile
                        rate        1,000 requests/s on 16 connections, each latency from the time the request was due:
                                    what a caller feels. Four times as long as --seconds: p99.9 wants thousands
                        handshakes  new connections to the callee's sidecar, full and resumed
                        idle        memory of connections to it on which nothing happens
                        validation  what holding a body of 1 kB and of 64 kB against its schema adds to it (lateral alone)
  --only LIST         of: ${PAIRS.join(', ')} (default: all)
  --connections LIST  for http (default 1,32,128,1000)
  --rounds N          measure N times and take the median (default 3)
  --seconds N         each time this long (default 4). With all the defaults a run takes about 15 minutes
  --idle N            connections for idle, up to ${MAX_IDLE} (default 2000)
  --json FILE         write all figures there too
  --help

Where they are on the PATH: "nginx" and "envoy" are measured, "nginx" is also the app, "wrk" drives http and the 64 kB
answers (else Node does, and is itself the limit), and "go" builds the loader of all the rest. What is absent is named.

How to read it: the processes share one machine, so look at the ratios within a run and not at absolute figures; "out" is the
caller's sidecar, "in" the callee's. CPU is processor time a request in microseconds; memory needs Linux. Before a figure
is believed, the machine should have nothing else to do: the spread between rounds tells.
`;

/** A wrong command line; the message says what would be right. */
export class UsageError extends Error {}

/** Reads the command line; undefined where help is asked for. */
export function readOptions(args: readonly string[]): Options | undefined {
  const values = parse(args);
  if (values.help === true) return undefined;
  return {
    only: listOf('only', values.only, PAIRS),
    what: listOf('what', values.what, WHAT),
    connections: values.connections.split(',').map((text) => wholeNumber('connections', text, MAX_CONNECTIONS)),
    rounds: wholeNumber('rounds', values.rounds, MAX_ROUNDS),
    seconds: wholeNumber('seconds', values.seconds, MAX_SECONDS),
    idle: wholeNumber('idle', values.idle, MAX_IDLE),
    json: values.json,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string', default: PAIRS.join(',') },
        what: { type: 'string', default: WHAT.join(',') },
        connections: { type: 'string', default: '1,32,128,1000' },
        rounds: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '4' },
        idle: { type: 'string', default: '2000' },
        json: { type: 'string' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function listOf<T extends string>(option: string, text: string, known: readonly T[]): readonly T[] {
  const names = text.split(',').map((name) => name.trim());
  const wrong = names.filter((name) => !known.some((one) => one === name));
  if (wrong.length > 0) throw new UsageError(`--${option} takes ${known.join(', ')}; not ${wrong.join(', ')}`);
  return known.filter((name) => names.includes(name));
}

function wholeNumber(option: string, text: string, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > max) {
    throw new UsageError(`--${option} takes whole numbers from 1 to ${max}; not ${text}`);
  }
  return value;
}
