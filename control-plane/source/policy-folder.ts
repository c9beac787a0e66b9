import { stat } from 'node:fs/promises';
import { readPolicyFolder } from '#files/read-policy-folder.ts';
import { watchPath } from '#files/watch-path.ts';
import { loadResources } from '#policy/load-resources.ts';
import { compareProblems, formatProblem, type Problem } from '#policy/problem.ts';
import { snapshotOf } from '#policy/resource/resource-document.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { PolicyDistribution } from '../discovery/policy-distribution.ts';
import type { EventLog } from '../event-log.ts';
import type { ControlPlaneMetrics } from '../status/metrics.ts';
import { readLastGood, writeLastGood } from './last-good.ts';
import type { SourceStatus } from './source-status.ts';

/** When the folder is read again after the start, whatever the watch says. */
const SECOND_READING_MS = 300;

export interface PolicyFolderOptions {
  readonly directory: string;
  readonly lastGoodFile: string;
  readonly mesh: Mesh;
  readonly distribution: PolicyDistribution;
  readonly metrics: ControlPlaneMetrics;
  readonly log: EventLog;
  /** Takes `file:line:column: severity code message`, one a line. */
  readonly printProblems: (lines: readonly string[]) => void;
}

export interface PolicyFolder {
  status(): SourceStatus;
  close(): void;
}

/** What one reading of the folder amounts to. */
interface Reading {
  readonly resources: readonly ResourceDocument[];
  readonly problems: readonly Problem[];
  readonly hasError: boolean;
}

/**
 * Puts the folder's resources in force and keeps them so as it changes, each change as a whole or not at all:
 * while any file is broken, the last good set stays, also across restarts. Throws when the folder is missing, or
 * broken with no last good set; the problems have then been printed.
 */
export async function startPolicyFolder(options: PolicyFolderOptions): Promise<PolicyFolder> {
  const { directory, lastGoodFile, mesh, distribution, metrics, log, printProblems } = options;
  let status: SourceStatus = { version: '', resourceCount: 0, lastApply: { at: '', isInForce: false, problems: [] } };
  let lastOutcome = '';
  let isReading = false;
  let isChangedMeanwhile = false;
  let isClosed = false;

  const publish = (resources: readonly ResourceDocument[]): void => {
    distribution.publish(resources);
    status = { ...status, version: snapshotOf(resources).version, resourceCount: resources.length };
  };

  async function apply(reading: Reading): Promise<void> {
    const problems = reading.problems.map(formatProblem);
    const outcome = JSON.stringify([reading.hasError, problems, snapshotOf(reading.resources).version]);
    if (outcome === lastOutcome) return;
    lastOutcome = outcome;
    if (problems.length > 0) printProblems(problems);
    const noteApply = (isInForce: boolean): void => {
      metrics.applies[isInForce ? 'succeeded' : 'failed']++;
      status = { ...status, lastApply: { at: new Date().toISOString(), isInForce, problems } };
    };
    if (reading.hasError) {
      noteApply(false);
      log('policies_refused', { errors: countErrors(reading.problems), inForceVersion: status.version });
      return;
    }
    publish(reading.resources);
    noteApply(true);
    log('policies_in_force', { version: status.version, resources: status.resourceCount });
    try {
      await writeLastGood(lastGoodFile, mesh, reading.resources);
    } catch (error) {
      log('last_good_not_stored', { file: lastGoodFile, error: String(error) });
    }
  }

  async function reload(): Promise<void> {
    if (isReading) {
      isChangedMeanwhile = true;
      return;
    }
    isReading = true;
    try {
      do {
        isChangedMeanwhile = false;
        await readAndApply();
      } while (isChangedMeanwhile && !isClosed);
    } finally {
      isReading = false;
    }
  }

  async function readAndApply(): Promise<void> {
    try {
      await apply(await readFolder(directory, mesh));
    } catch (error) {
      const outcome = String(error);
      if (outcome === lastOutcome) return;
      lastOutcome = outcome;
      metrics.applies.failed++;
      status = { ...status, lastApply: { at: new Date().toISOString(), isInForce: false, problems: [outcome] } };
      log('policies_unreadable', { directory, error: outcome, inForceVersion: status.version });
    }
  }

  /** At a start on a broken folder: the set that was in force before. */
  async function fallBack(): Promise<void> {
    const lastGood = await readLastGood(lastGoodFile, mesh);
    if (lastGood === undefined) throw new Error(`the policies in ${directory} have errors, and there is no last good set`);
    publish(lastGood.resources);
    log('last_good_in_force', { version: status.version, resources: status.resourceCount, savedAt: lastGood.savedAt });
  }

  await apply(await readFirst(directory, mesh));
  if (!status.lastApply.isInForce) await fallBack();
  const stopWatching = watchPath(directory, () => void reload());
  // A change between the first reading and the first look of the watch is found by this second reading.
  const second = setTimeout(() => void reload(), SECOND_READING_MS);
  return {
    status: () => status,
    close() {
      isClosed = true;
      clearTimeout(second);
      stopWatching();
    },
  };
}

async function readFirst(directory: string, mesh: Mesh): Promise<Reading> {
  const facts = await stat(directory).catch(() => undefined);
  if (facts === undefined) throw new Error(`source.directory ${directory} does not exist; create it`);
  if (!facts.isDirectory()) throw new Error(`source.directory ${directory} is not a folder`);
  return readFolder(directory, mesh);
}

async function readFolder(directory: string, mesh: Mesh): Promise<Reading> {
  const folder = await readPolicyFolder(directory);
  const { resources, problems: resourceProblems } = loadResources(folder.files, folder.readDocument, mesh);
  const problems = [...folder.problems, ...resourceProblems].sort(compareProblems);
  return { resources, problems, hasError: countErrors(problems) > 0 };
}

function countErrors(problems: readonly Problem[]): number {
  return problems.filter(({ severity }) => severity === 'error').length;
}
