import type { EventLog } from '../event-log.ts';
import { openTokenStore, type TokenStore } from '../tokens/token-store.ts';
import type { Closer } from './closer.ts';

/** Records of expired join tokens are removed this often. */
const TOKEN_PURGE_INTERVAL_MS = 10 * 60_000;

/** The join tokens, where the configuration has a folder of them; what has expired is removed. */
export async function startTokenStore(
  directory: string | undefined,
  log: EventLog,
  closers: Closer[],
): Promise<TokenStore | undefined> {
  if (directory === undefined) return undefined;
  const tokens = await openTokenStore(directory, Date.now);
  const purge = () => tokens.purge().catch((error: unknown) => log('token_purge_failed', { error: String(error) }));
  await purge();
  const timer = setInterval(() => void purge(), TOKEN_PURGE_INTERVAL_MS);
  closers.push(() => clearInterval(timer));
  return tokens;
}
