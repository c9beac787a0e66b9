import { fileURLToPath } from 'node:url';
import { installed } from './installed.ts';
import { readReport } from './loader.ts';
import type { Processes } from './processes.ts';
import type { Figures } from './rows.ts';

const ownLoop = fileURLToPath(new URL('./own-loop.ts', import.meta.url));

/** One request at a time on each connection, over and over: wrk where it is installed, else a loop of our own in Node. */
export async function closedLoop(
  processes: Processes,
  port: number,
  path: string,
  connections: number,
  seconds: number,
): Promise<Figures> {
  const url = `http://127.0.0.1:${port}${path}`;
  const wrk = installed('wrk');
  const figures =
    wrk === undefined
      ? readReport(await processes.run(process.execPath, [ownLoop, url, String(connections), String(seconds)])).figures
      : readWrk(
          await processes.run(wrk, ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout=10s', '--latency', url]),
        );
  if (figures['requests'] === 0)
    throw new Error(`no request was answered within ${seconds} s (${figures['errors']} errors)`);
  return figures;
}

/** Figures out of what `wrk --latency` prints. */
export function readWrk(output: string): Figures {
  const numberAt = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? Number.NaN);
  const latency = (percent: number) => {
    const match = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s|m)\\s*$`, 'm').exec(output);
    return Number(match?.[1] ?? Number.NaN) * (MILLISECONDS[match?.[2] ?? ''] ?? Number.NaN);
  };
  const socketErrors = /Socket errors: (.*)/.exec(output)?.[1]?.match(/\d+/g) ?? [];
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0;
  return {
    requests: numberAt(/(\d+) requests in/),
    perSecond: numberAt(/Requests\/sec:\s+([\d.]+)/),
    p50Ms: latency(50),
    p99Ms: latency(99),
    errors: [...socketErrors, refused].reduce((sum: number, count) => sum + Number(count), 0),
  };
}

const MILLISECONDS: { readonly [unit: string]: number } = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };
