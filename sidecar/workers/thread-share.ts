import { workerData } from 'node:worker_threads';
import { isWorkerSettings } from './messages.ts';

const data: unknown = workerData;
const threads = isWorkerSettings(data) ? data.configuration.concurrency : 1;

/** The part of a limit of the whole process that is this thread's: threads with traffic have equal parts. */
export function shareOf(limit: number): number {
  return Math.ceil(limit / threads);
}
