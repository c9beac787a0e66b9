import type { PlaintextCaller } from '../telemetry/plaintext-callers.ts';
import { json, type Routes } from './local-server.ts';

/** `GET /plaintext-callers`: who came without an identity within a day, and since when that is watched. */
export function plaintextRoutes(list: () => Promise<readonly PlaintextCaller[]>, since: Date): Routes {
  return {
    'GET /plaintext-callers': async () => {
      const callers = await list();
      const shown = callers.map(({ lastSeenMs, ...caller }) => ({
        ...caller,
        lastSeen: new Date(lastSeenMs).toISOString(),
      }));
      return json(200, { since: since.toISOString(), callers: shown });
    },
  };
}
