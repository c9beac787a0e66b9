import type { Providers } from '../authorization/providers.ts';
import type { ConsultedTcp, IdentifiedTcp } from '../exchange/tcp-passage.ts';
import { askedOfTcp } from './authorize-tcp.ts';
import { connectionOf, settleMatch } from './settle-match.ts';

/** As `consult`, for a connection that is no HTTP: providers are told who calls, and rules match without what only HTTP has. */
export function consultTcp(
  passage: IdentifiedTcp,
  providers: Providers,
  ownIdentity: string,
): ConsultedTcp | Promise<ConsultedTcp> {
  const { external } = passage.policy;
  if (external === undefined) return consulted(passage);
  passage.enter('consult');
  const matches = external.matches(askedOfTcp(passage));
  if (matches.length === 0) return consulted(passage);
  return (async () => {
    for (const match of matches)
      await settleMatch(passage, match, providers, () => connectionOf(passage, passage.connection.caller, ownIdentity));
    return consulted(passage);
  })();
}

function consulted(passage: IdentifiedTcp): ConsultedTcp {
  return Object.assign(passage, { isConsulted: true as const });
}
