import { type InjectionSettings, isAtLeast } from './injection-configuration.ts';
import { type JsonObject, objectAt } from './json-object.ts';

/** Kubernetes from here on has the hook `sleep` (1.30, on by default); it needs no program in the app's image. */
const FIRST_SLEEP = { major: 1, minor: 30 };
const DEFAULT_GRACE_SECONDS = 30;

/**
 * How long an app goes on serving once its pod is told to end: callers learn meanwhile that the pod leaves, so that none
 * meets a closed port. 0: no hook, since the API server knows none, or the pod's grace period leaves no room for it.
 */
export function preStopSeconds(spec: JsonObject, { configuration, kubernetesVersion }: InjectionSettings): number {
  if (!isAtLeast(kubernetesVersion, FIRST_SLEEP)) return 0;
  const given = spec['terminationGracePeriodSeconds'];
  const graceSeconds = typeof given === 'number' ? given : DEFAULT_GRACE_SECONDS;
  // the app needs some of it to end by itself
  return Math.max(0, Math.min(configuration.preStopSeconds, Math.floor(graceSeconds / 2)));
}

/** The container with a hook that waits, unless it has a hook of its own. */
export function withPreStop(container: JsonObject, seconds: number): JsonObject {
  const lifecycle = objectAt(container, 'lifecycle');
  if (seconds === 0 || lifecycle['preStop'] !== undefined) return container;
  return { ...container, lifecycle: { ...lifecycle, preStop: { sleep: { seconds } } } };
}
