import { readPolicyFolder } from '#files/read-policy-folder.ts';
import { type LoadedResources, loadResources } from '#policy/load-resources.ts';
import { compareProblems, formatProblem } from '#policy/problem.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { CommandIo } from '../command.ts';

/** Reads the resources below all paths as one set. */
export async function loadPolicies(
  paths: readonly string[],
  mesh: Mesh,
): Promise<LoadedResources & { readonly files: number }> {
  const folders = await Promise.all(paths.map((path) => readPolicyFolder(path)));
  const files = new Map(folders.flatMap((folder) => folder.files.map((file) => [file.path, file] as const)));
  const readDocument = (path: string) => {
    for (const folder of folders) {
      const text = folder.readDocument(path);
      if (text !== undefined) return text;
    }
    return undefined;
  };
  const loaded = loadResources([...files.values()], readDocument, mesh);
  const problems = [...folders.flatMap((folder) => folder.problems), ...loaded.problems].sort(compareProblems);
  return { ...loaded, problems, files: files.size };
}

/** The policies, or undefined after their errors were printed: what is broken must not decide anything. */
export async function loadSoundPolicies(path: string, mesh: Mesh, io: CommandIo): Promise<LoadedResources | undefined> {
  const loaded = await loadPolicies([path], mesh);
  const errors = loaded.problems.filter(({ severity }) => severity === 'error');
  for (const problem of errors) io.stderr(`${formatProblem(problem)}\n`);
  return errors.length === 0 ? loaded : undefined;
}
