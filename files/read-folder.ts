import { readPolicyFolder } from '#files/read-policy-folder.ts';
import { loadingOf } from '#policy/load-resources.ts';
import { compareProblems, type Problem } from '#policy/problem.ts';
import { contentProblems } from '#policy/resource/content-problems.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { runInSlices } from './run-in-slices.ts';

/** What one reading of the folder amounts to; plain data, since it may come from another thread. */
export interface Reading {
  readonly resources: readonly ResourceDocument[];
  readonly problems: readonly Problem[];
}

/** Reads a policy folder, with all that can be said of what is in it. */
export async function readFolder(directory: string, mesh: Mesh): Promise<Reading> {
  const folder = await readPolicyFolder(directory);
  const loading = loadingOf(folder.files, folder.readDocument, mesh);
  const { resources, sourced, problems: found } = await runInSlices(loading);
  const problems = [...folder.problems, ...found, ...(await contentProblems(sourced))].sort(compareProblems);
  return { resources, problems };
}
