import { FolderReader } from '#files/folder-reader.ts';
import { watchPath } from '#files/watch-path.ts';
import { formatProblem } from '#policy/problem.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import { type ApplySnapshot, type PolicySource, SnapshotRefused } from '../policy/policy-source.ts';

/** Policies from a folder, read by the very code the control plane reads them with; followed when they change. */
export class StandaloneSource implements PolicySource {
  readonly #path: string;
  readonly #workload: Workload;
  readonly #mesh: Mesh;
  readonly #onProblem: (message: string) => void;
  readonly #onRefused: (reasons: readonly string[]) => void;
  readonly #reader: FolderReader;
  #endWatch: (() => void) | undefined;
  #isReading = false;
  #isStale = false;

  /** `onRefused`: a change could not be put in force. `onProblem`: each error and warning, in one line. */
  constructor(
    path: string,
    workload: Workload,
    mesh: Mesh,
    onProblem: (message: string) => void,
    onRefused: (reasons: readonly string[]) => void,
  ) {
    this.#onRefused = onRefused;
    this.#path = path;
    this.#reader = new FolderReader(path, mesh);
    this.#workload = workload;
    this.#mesh = mesh;
    this.#onProblem = onProblem;
  }

  /** Rejects when the folder as it is at the start cannot be put in force. */
  async start(apply: ApplySnapshot): Promise<void> {
    this.#isReading = true;
    this.#endWatch = watchPath(this.#path, () => void this.#follow(apply)); // first: no change in between is missed
    try {
      await this.#readInto(apply);
    } finally {
      this.#isReading = false;
    }
    if (this.#isStale) void this.#follow(apply);
  }

  close(): void {
    this.#endWatch?.();
    void this.#reader.close();
  }

  async #follow(apply: ApplySnapshot): Promise<void> {
    this.#isStale = true;
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#isStale) {
      this.#isStale = false;
      await this.#readInto(apply).catch((error: unknown) => {
        const reasons = error instanceof SnapshotRefused ? error.reasons : [String(error)];
        for (const reason of reasons) this.#onProblem(reason);
      });
    }
    this.#isReading = false;
  }

  async #readInto(apply: ApplySnapshot): Promise<void> {
    const { resources, problems } = await this.#reader.read();
    const errors = problems.filter((problem) => problem.severity === 'error').map(formatProblem);
    if (errors.length > 0) {
      this.#onRefused(errors);
      throw new SnapshotRefused(errors);
    }
    for (const warning of problems) this.#onProblem(formatProblem(warning));
    await apply(selectSnapshot(resources, this.#workload, this.#mesh));
  }
}
