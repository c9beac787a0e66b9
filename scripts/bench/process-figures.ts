import { readdirSync, readFileSync } from 'node:fs';

/** Linux reports processor time in hundredths of a second. */
const TICKS_PER_SECOND = 100;
const KILOBYTES_PER_MEGABYTE = 1_024;
const SAMPLE_INTERVAL_MS = 50;

/** Processor time of a process and those below it, seconds (Linux; elsewhere 0). No process: 0. */
export function cpuSeconds(pid: number | undefined): number {
  const ticks = sumOver(pid, (id) => {
    const fields = readFileSync(`/proc/${id}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks / TICKS_PER_SECOND;
}

/** Private memory of a process and those below it, MB of 2^20 bytes. */
export function privateMegabytes(pid: number | undefined): number {
  return megabytes(pid, 'smaps_rollup', /^Private\w*:\s+(\d+)/gm);
}

/** Resident memory of a process and those below it, MB of 2^20 bytes; pages that two of them share count twice. */
export function residentMegabytes(pid: number | undefined): number {
  return megabytes(pid, 'status', /^VmRSS:\s+(\d+)/gm);
}

/** Watches the resident memory of processes; `stop` gives the highest of each. */
export function watchPeaks(pids: readonly (number | undefined)[]): { stop(): readonly number[] } {
  let peaks = pids.map(residentMegabytes);
  const look = () => {
    peaks = pids.map((pid, index) => Math.max(peaks[index] ?? 0, residentMegabytes(pid)));
  };
  const timer = setInterval(look, SAMPLE_INTERVAL_MS);
  return {
    stop() {
      clearInterval(timer);
      look();
      return peaks;
    },
  };
}

function megabytes(pid: number | undefined, file: string, pattern: RegExp): number {
  const kilobytes = sumOver(pid, (id) => {
    const lines = readFileSync(`/proc/${id}/${file}`, 'utf8').matchAll(pattern);
    return [...lines].reduce((sum, match) => sum + Number(match[1]), 0);
  });
  return kilobytes / KILOBYTES_PER_MEGABYTE;
}

function sumOver(pid: number | undefined, read: (pid: number) => number): number {
  if (pid === undefined) return 0;
  return familyOf(pid).reduce((sum, id) => {
    try {
      return sum + read(id);
    } catch {
      return sum; // it has ended, or may not be looked at
    }
  }, 0);
}

function familyOf(pid: number): number[] {
  try {
    const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
        .split(' ')
        .filter((child) => child !== ''),
    );
    return [pid, ...children.flatMap((child) => familyOf(Number(child)))];
  } catch {
    return [pid];
  }
}
