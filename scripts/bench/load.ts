import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { installed } from './pairs.ts';

export interface Load {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
}

/** Closed-loop load of `connections` keep-alive connections: wrk where it is installed, else our own loader. */
export function load(port: number, connections: number, seconds: number): Promise<Load> {
  return installed('wrk') === undefined
    ? ownLoad(port, connections, seconds)
    : Promise.resolve(wrkLoad(port, connections, seconds));
}

function wrkLoad(port: number, connections: number, seconds: number): Load {
  const { stdout } = spawnSync(
    'wrk',
    ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', `http://127.0.0.1:${port}/1k`],
    { encoding: 'utf8' },
  );
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? 0);
  const latency = (percent: number) => {
    const match = new RegExp(`^\\s+${percent}%\\s+([\\d.]+)(us|ms|s)`, 'm').exec(stdout);
    return Number(match?.[1] ?? 0) * (match?.[2] === 'us' ? 0.001 : match?.[2] === 's' ? 1_000 : 1);
  };
  return {
    requests: number(/(\d+) requests in/),
    perSecond: number(/Requests\/sec:\s+([\d.]+)/),
    p50Ms: latency(50),
    p99Ms: latency(99),
    errors: number(/Non-2xx or 3xx responses: (\d+)/),
  };
}

const REQUEST = (port: number) => Buffer.from(`GET /1k HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);

/** One request at a time a connection; a response ends after its declared length. */
async function ownLoad(port: number, connections: number, seconds: number): Promise<Load> {
  const times: number[] = [];
  let errors = 0;
  const endAt = performance.now() + seconds * 1_000;
  const one = () =>
    new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      let sentAt = 0;
      let text = '';
      const send = () => {
        if (performance.now() >= endAt) {
          socket.destroy();
          return;
        }
        sentAt = performance.now();
        text = '';
        socket.write(REQUEST(port));
      };
      socket.on('connect', send);
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        const headEnd = text.indexOf('\r\n\r\n');
        const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
        if (headEnd === -1 || text.length < headEnd + 4 + length) return;
        if (!text.startsWith('HTTP/1.1 200')) errors++;
        times.push(performance.now() - sentAt);
        send();
      });
      socket.on('error', () => errors++);
      socket.on('close', () => resolve());
    });
  await Promise.all(Array.from({ length: connections }, one));
  times.sort((left, right) => left - right);
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { requests: times.length, perSecond: times.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99), errors };
}

/** Processor time of a process and those below it, seconds (Linux). */
export function cpuSeconds(pid: number | undefined): number {
  if (pid === undefined) return 0;
  let ticks = 0;
  for (const id of familyOf(pid)) {
    try {
      const fields = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // it has ended
    }
  }
  return ticks / TICKS_PER_SECOND;
}

/** Private memory of a process and those below it, MB (Linux). */
export function privateMegabytes(pid: number | undefined): number {
  if (pid === undefined) return 0;
  let kilobytes = 0;
  for (const id of familyOf(pid)) {
    try {
      for (const match of readFileSync(`/proc/${id}/smaps_rollup`, 'utf8').matchAll(/^Private\w*:\s+(\d+)/gm))
        kilobytes += Number(match[1]);
    } catch {
      // it has ended, or may not be looked at
    }
  }
  return kilobytes / 1_024;
}

/** Linux reports processor time in hundredths of a second. */
const TICKS_PER_SECOND = 100;

function familyOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return [pid, ...(children === '' ? [] : children.split(' ').flatMap((child) => familyOf(Number(child))))];
  } catch {
    return [pid];
  }
}
