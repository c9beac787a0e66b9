import { type LoadedResources, loadResources } from '#policy/load-resources.ts';
import { compareProblems, formatProblem } from '#policy/problem.ts';
import { contentProblems } from '#policy/resource/content-problems.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { CommandIo } from '../command.ts';
import { readFolders } from './read-folders.ts';

/** Reads the resources below all paths as one set. */
export async function loadPolicies(
  paths: readonly string[],
  mesh: Mesh,
): Promise<LoadedResources & { readonly files: number }> {
  const { files, problems: unread, readDocument } = await readFolders(paths);
  const loaded = loadResources(files, readDocument, mesh);
  const problems = [...unread, ...loaded.problems, ...(await contentProblems(loaded.sourced))].sort(compareProblems);
  return { ...loaded, problems, files: files.length };
}

/** The policies, or undefined after their errors were printed: what is broken must not decide anything. */
export async function loadSoundPolicies(path: string, mesh: Mesh, io: CommandIo): Promise<LoadedResources | undefined> {
  const loaded = await loadPolicies([path], mesh);
  const errors = loaded.problems.filter(({ severity }) => severity === 'error');
  for (const problem of errors) io.stderr(`${formatProblem(problem)}\n`);
  return errors.length === 0 ? loaded : undefined;
}
