import type { ControlPlaneConfiguration } from '../configuration.ts';
import { TokenRefused } from './issue-token.ts';
import { identifierOf } from './join-token.ts';
import { type ListedToken, openTokenStore, type TokenStore } from './token-store.ts';

/** The tokens of the control plane's directory that have not expired; the control plane need not run. */
export async function listTokens(configuration: ControlPlaneConfiguration): Promise<readonly ListedToken[]> {
  return (await storeOf(configuration)).list();
}

/** Revokes the token of that ID, or with that text, and returns its ID. Throws where there is no such, or it has expired. */
export async function revokeToken(configuration: ControlPlaneConfiguration, idOrToken: string): Promise<string> {
  const id = identifierOf(idOrToken);
  if (id === undefined)
    throw new TokenRefused('expected the ID of a token (32 hexadecimal digits) or the token itself');
  const store = await storeOf(configuration);
  if ((await store.revoke(id)) === 'revoked') return id;
  throw new Error(`token ${id} is unknown here, or has expired; \`lateral token --list\` shows those there are`);
}

function storeOf({ tokenDirectory }: ControlPlaneConfiguration): Promise<TokenStore> {
  if (tokenDirectory === undefined) throw new TokenRefused('the configuration has no tokens.directory; add it');
  return openTokenStore(tokenDirectory, Date.now);
}
