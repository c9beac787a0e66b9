import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

const chart = fileURLToPath(new URL('../../helm/lateral', import.meta.url));
export const HELM = process.env['HELM'] ?? 'helm';
export const TIMEOUT_MS = 30_000;
const hasHelm = spawnSync(HELM, ['version'], { timeout: TIMEOUT_MS }).status === 0;
/** Why tests that need helm do not run. */
export const skip = hasHelm ? false : 'no helm in PATH (HELM names another)';

/** A manifest is read freely: the tests below say what must be in it. */
// biome-ignore lint/suspicious/noExplicitAny: manifests have as many shapes as Kubernetes has kinds
export type Manifest = any;

export function template(...args: string[]) {
  return spawnSync(HELM, ['template', 'lateral', chart, '--namespace', 'lateral-system', ...args], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
}

/** What the chart becomes with these arguments; throws what helm complains of. */
export function manifests(...args: string[]): Manifest[] {
  const { status, stdout, stderr } = template(...args);
  if (status !== 0) throw new Error(stderr);
  return parseAllDocuments(stdout).flatMap((document) => document.toJSON() ?? []);
}

export const find = (all: Manifest[], kind: string, name?: string): Manifest =>
  all.find((one) => one.kind === kind && (name === undefined || one.metadata.name === name));
