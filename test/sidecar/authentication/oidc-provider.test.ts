import t from 'tap';
import { startOidcIssuer } from '../../support/oidc-issuer.ts';
import { ALLOW_ALL, startPair } from '../../support/sidecar-pair.ts';
import { ask, startApp } from '../../support/start-app.ts';

t.test('tokens of a real OpenID provider, whose keys its configuration names', async (t) => {
  const provider = await startOidcIssuer(t);
  const app = await startApp(t, (request, response) => response.end(JSON.stringify(request.headers)));
  const authentication = `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  jwtRules:
    - issuer: ${provider.issuer}
      audiences: [https://orders.test]
      outputClaimToHeaders: [{header: x-client, claim: client_id}, {header: x-scope, claim: scope}]
`;
  const pair = await startPair(t, app.port, ALLOW_ALL + authentication);
  const call = async (token: string) => {
    const { status, body } = await ask(pair.outboundPort, { headers: { authorization: `Bearer ${token}` } });
    const { code, 'x-client': client, 'x-scope': scope } = JSON.parse(body);
    return status === 200 ? `${status} ${client} ${scope}` : `${status} ${code}`;
  };
  const first = await provider.token('https://orders.test');
  t.equal(await call(first), '200 web orders:read');
  t.equal(await call(first), '200 web orders:read');
  t.equal(await call(await provider.token('https://others.test')), '401 jwt_audience_refused');
  t.equal(await call(await provider.token('https://opaque.test')), '401 jwt_malformed');
  const keysAsked = () => provider.asked.filter((path) => path === '/jwks').length;
  t.equal(keysAsked(), 1);
  await provider.rotate();
  t.equal(await call(await provider.token('https://orders.test')), '200 web orders:read', 'signed by its new key');
  t.equal(await call(first), '401 jwt_key_unknown', 'signed by a key that it withdrew');
  t.equal(keysAsked(), 2);
});
