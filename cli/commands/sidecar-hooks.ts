import { ADMIN_PORT } from '#control-plane/injection/names.ts';
import { UsageError } from '../command.ts';

/** Lifecycle hooks of an injected sidecar's container, where Kubernetes has no native sidecars. */
export interface HookOptions {
  readonly 'wait-ready'?: boolean | undefined;
  readonly linger?: string | undefined;
}

const MAX_LINGER_SECONDS = 300;

export const HOOK_OPTIONS = { 'wait-ready': { type: 'boolean' }, linger: { type: 'string' } } as const;

/** Runs a hook beside the sidecar of this pod; false where none is asked for. */
export async function runHook({ 'wait-ready': waitReady, linger }: HookOptions): Promise<boolean> {
  if (waitReady === true) {
    const { waitUntilReady } = await import('#sidecar/probes/wait-ready.ts');
    await waitUntilReady(ADMIN_PORT);
    return true;
  }
  if (linger === undefined) return false;
  const seconds = Number(linger);
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > MAX_LINGER_SECONDS) {
    throw new UsageError(`--linger ${linger} is not a number of seconds from 0 to ${MAX_LINGER_SECONDS}`);
  }
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  return true;
}
