import { stat } from 'node:fs/promises';
import { FolderReader } from '#files/folder-reader.ts';
import type { Reading } from '#files/read-folder.ts';
import { watchPath } from '#files/watch-path.ts';
import { formatProblem, type Problem } from '#policy/problem.ts';
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

/**
 * Puts the folder's resources in force and keeps them so as it changes, each change as a whole or not at all:
 * while any file is broken, the last good set stays, also across restarts. Throws when the folder is missing, or
 * broken with no last good set; the problems have then been printed.
 */
export async function startPolicyFolder(options: PolicyFolderOptions): Promise<PolicyFolder> {
  const folder = new PolicyFolder(options);
  await folder.start();
  return folder;
}

export class PolicyFolder {
  readonly #options: PolicyFolderOptions;
  readonly #reader: FolderReader;
  #status: SourceStatus = { version: '', resourceCount: 0, lastApply: { at: '', isInForce: false, problems: [] } };
  /** What the last reading amounted to: the same again is neither applied nor printed anew. */
  #lastOutcome = '';
  /** The reading under way, with all that follows it. */
  #reading: Promise<void> | undefined;
  #isChangedMeanwhile = false;
  #isClosed = false;
  #stopWatching: (() => void) | undefined;
  #secondReading: NodeJS.Timeout | undefined;

  constructor(options: PolicyFolderOptions) {
    this.#options = options;
    this.#reader = new FolderReader(options.directory, options.mesh);
  }

  get status(): SourceStatus {
    return this.#status;
  }

  async start(): Promise<void> {
    const { directory } = this.#options;
    await checkFolder(directory);
    await this.#apply(await this.#reader.read());
    if (!this.#status.lastApply.isInForce) await this.#fallBack();
    this.#stopWatching = watchPath(directory, () => this.#reload());
    // A change between the first reading and the first look of the watch is found by this second reading.
    this.#secondReading = setTimeout(() => this.#reload(), SECOND_READING_MS);
  }

  /** Resolves once nothing is read or stored any more: a last good set on its way to the disk gets there. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#secondReading);
    this.#stopWatching?.();
    await this.#reading;
    await this.#reader.close();
  }

  /** One reading at a time; what changes meanwhile is read after it. */
  #reload(): void {
    this.#isChangedMeanwhile = true;
    this.#reading ??= this.#readWhileItChanges();
  }

  async #readWhileItChanges(): Promise<void> {
    while (this.#isChangedMeanwhile && !this.#isClosed) {
      this.#isChangedMeanwhile = false;
      await this.#readAndApply();
    }
    this.#reading = undefined;
  }

  async #readAndApply(): Promise<void> {
    const { directory, log } = this.#options;
    try {
      await this.#apply(await this.#reader.read());
    } catch (error) {
      const outcome = String(error);
      if (outcome === this.#lastOutcome) return;
      this.#lastOutcome = outcome;
      this.#noteApply(false, [outcome]);
      log('policies_unreadable', { directory, error: outcome, inForceVersion: this.#status.version });
    }
  }

  async #apply({ resources, problems: found }: Reading): Promise<void> {
    const hasError = countErrors(found) > 0;
    const { log, printProblems, lastGoodFile, mesh } = this.#options;
    const problems = found.map(formatProblem);
    const outcome = JSON.stringify([hasError, problems, snapshotOf(resources).version]);
    if (outcome === this.#lastOutcome) return;
    this.#lastOutcome = outcome;
    if (problems.length > 0) printProblems(problems);
    if (hasError) {
      this.#noteApply(false, problems);
      log('policies_refused', { errors: countErrors(found), inForceVersion: this.#status.version });
      return;
    }
    this.#publish(resources);
    this.#noteApply(true, problems);
    log('policies_in_force', { version: this.#status.version, resources: resources.length });
    try {
      await writeLastGood(lastGoodFile, mesh, resources);
    } catch (error) {
      log('last_good_not_stored', { file: lastGoodFile, error: String(error) });
    }
  }

  /** At a start on a broken folder: the set that was in force before. */
  async #fallBack(): Promise<void> {
    const { directory, lastGoodFile, mesh, log } = this.#options;
    const lastGood = await readLastGood(lastGoodFile, mesh);
    if (lastGood === undefined)
      throw new Error(`the policies in ${directory} have errors, and there is no last good set`);
    this.#publish(lastGood.resources);
    const { version, resourceCount } = this.#status;
    log('last_good_in_force', { version, resources: resourceCount, savedAt: lastGood.savedAt });
  }

  #publish(resources: readonly ResourceDocument[]): void {
    this.#options.distribution.publish(resources);
    this.#status = { ...this.#status, version: snapshotOf(resources).version, resourceCount: resources.length };
  }

  #noteApply(isInForce: boolean, problems: readonly string[]): void {
    this.#options.metrics.applies[isInForce ? 'succeeded' : 'failed']++;
    this.#status = { ...this.#status, lastApply: { at: new Date().toISOString(), isInForce, problems } };
  }
}

async function checkFolder(directory: string): Promise<void> {
  const facts = await stat(directory).catch(() => undefined);
  if (facts === undefined) throw new Error(`source.directory ${directory} does not exist; create it`);
  if (!facts.isDirectory()) throw new Error(`source.directory ${directory} is not a folder`);
}

function countErrors(problems: readonly Problem[]): number {
  return problems.filter(({ severity }) => severity === 'error').length;
}
