import { createServer, type Server } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import type { Test } from 'tap';
import { listen, portOf } from './free-ports.ts';

/** A real OpenID provider (oidc-provider) that gives access tokens to the client `web`. */
export interface OidcIssuer {
  /** `iss` of its tokens, and where its configuration is found. */
  readonly issuer: string;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  /** A token for the resource by client credentials: a JSON Web Token, or opaque. */
  token(resource: string): Promise<string>;
  /** From now on it signs by another key, and publishes that one alone. */
  rotate(): Promise<void>;
}

const CLIENT = { id: 'web', secret: 'a-secret-of-the-tests' };

export async function startOidcIssuer(t: Test): Promise<OidcIssuer> {
  const asked: string[] = [];
  let handle = (_request: unknown, _response: unknown) => {};
  const server: Server = await listen(
    createServer((request, response) => {
      asked.push(request.url ?? '');
      handle(request, response);
    }),
  );
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const issuer = `http://127.0.0.1:${portOf(server)}`;
  const rotate = async () => {
    handle = new Provider(issuer, await configuration()).callback() as typeof handle;
  };
  await rotate();
  return { issuer, asked, rotate, token: (resource) => tokenOf(issuer, resource) };
}

async function configuration(): Promise<object> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const resourceServer = (_context: unknown, resource: string) => ({
    scope: 'orders:read orders:write',
    audience: resource,
    accessTokenTTL: 300,
    accessTokenFormat: resource.includes('opaque') ? 'opaque' : 'jwt',
    jwt: { sign: { alg: 'ES256' } },
  });
  return {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig' }] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
    },
  };
}

async function tokenOf(issuer: string, resource: string): Promise<string> {
  const basic = Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString('base64');
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'orders:read', resource }),
  });
  const answer: unknown = await response.json();
  if (typeof answer !== 'object' || answer === null || !('access_token' in answer)) {
    throw new Error(JSON.stringify(answer));
  }
  return String(answer.access_token);
}
