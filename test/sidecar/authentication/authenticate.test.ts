import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { compact, jwks, signer } from '../../policy/authentication/tokens.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { ALLOW_ALL, startPair } from '../../support/sidecar-pair.ts';
import { ask, startApp } from '../../support/start-app.ts';

const ISSUER = 'https://issuer.example';

const authentication = (rule: object) => `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: test}
spec: ${JSON.stringify({ selector: { matchLabels: { app: 'server' } }, jwtRules: [{ issuer: ISSUER, ...rule }] })}
`;

const AUDIT = `---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {mode: Audit}
`;

const claims = () => ({ iss: ISSUER, sub: 'ann', exp: Math.floor(Date.now() / 1_000) + 300 });

/** Says what it was asked. */
function echo(request: http.IncomingMessage, response: http.ServerResponse): void {
  response.end(JSON.stringify({ url: request.url, headers: request.headers }));
}

t.test('the app gets what a good token says, never the token, and nothing of a bad one', async (t) => {
  const app = await startApp(t, echo);
  const key = await signer();
  const rule = {
    jwks: jwks(key),
    fromHeaders: [{ name: 'Authorization', prefix: 'Bearer ' }],
    fromParams: ['t'],
    fromCookies: ['jwt'],
    outputClaimToHeaders: [{ header: 'x-subject', claim: 'sub' }],
  };
  const pair = await startPair(t, app.port, ALLOW_ALL + authentication(rule));
  const good = await key.sign(claims());
  const bad = compact({ alg: 'ES256', kid: 'k1' }, claims());
  const forged = { 'x-subject': 'root' };
  const ways = [
    { headers: { ...forged, authorization: `Bearer ${good}` } },
    { headers: { ...forged, cookie: `a=b; jwt=${good}` } },
    { headers: forged, path: `/?q=1&t=${good}` },
  ];
  for (const way of ways) {
    const { status, body } = await ask(pair.outboundPort, way);
    t.equal(status, 200);
    t.equal(JSON.parse(body).headers['x-subject'], 'ann');
    t.notMatch(body, good);
  }
  const without = await ask(pair.outboundPort, { headers: forged });
  t.equal(JSON.parse(without.body).headers['x-subject'], undefined, 'nobody says so');
  const refusals = [
    await ask(pair.outboundPort, { headers: { authorization: `Bearer ${bad}` } }),
    await ask(pair.outboundPort, { headers: { cookie: `jwt=${bad}` } }),
    await ask(pair.outboundPort, { path: `/?t=${bad}` }),
    await ask(pair.outboundPort, { path: '/?t=hush' }),
  ];
  for (const { status, headers, body } of refusals) {
    t.equal(status, 401);
    t.equal(headers['www-authenticate'], 'Bearer error="invalid_token"');
    t.match(JSON.parse(body), { status: 401, title: 'Unauthorized', code: /^jwt_/ });
    t.strictSame(Object.keys(JSON.parse(body)), ['title', 'status', 'code']);
  }
  const grpc = await ask(pair.outboundPort, {
    method: 'POST',
    path: '/shop.Orders/Get',
    headers: { 'content-type': 'application/grpc', te: 'trailers', authorization: `Bearer ${bad}` },
  });
  t.match(grpc.headers, { 'grpc-status': '16', 'grpc-message': 'jwt_signature_invalid' });
  const lines = await pair.log('server', 9);
  t.match(lines[4], { code: 'jwt_signature_invalid', decision: 'deny', policy: 'test/jwt', rule: 0, status: 401 });
  t.equal(lines[7]?.path, '/?t=[redacted]');
  for (const side of ['server', 'client']) {
    const log = await readFile(join(pair.directory, `${side}.log`), 'utf8');
    for (const secret of [good, bad, good.split('.')[2] ?? '']) t.notOk(log.includes(secret), side);
  }
});

t.test('a token of the caller`s own app is looked at by the callee alone, and may go on', async (t) => {
  const app = await startApp(t, echo);
  const key = await signer();
  const rule = { jwks: jwks(key), forwardOriginalToken: true, outputPayloadToHeader: 'x-payload' };
  const pair = await startPair(t, app.port, ALLOW_ALL + authentication(rule));
  const good = await key.sign(claims());
  const { body } = await ask(pair.outboundPort, { headers: { authorization: `Bearer ${good}` } });
  t.match(JSON.parse(body).headers, { authorization: `Bearer ${good}`, 'x-payload': good.split('.')[1] });
});

const ANN_OF_SHOP_ONE = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ann, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  rules:
    - from: [{source: {requestPrincipals: ["${ISSUER}/ann"]}}]
      when: [{key: "request.auth.claims[shop][id]", values: [one]}]
`;

t.test('rules see what a token says, and the log what they saw', async (t) => {
  const app = await startApp(t, echo);
  const key = await signer();
  const pair = await startPair(t, app.port, ANN_OF_SHOP_ONE + authentication({ jwks: jwks(key) }));
  const call = async (more: object) => {
    const token = await key.sign({ ...claims(), ...more });
    return (await ask(pair.outboundPort, { headers: { authorization: `Bearer ${token}` } })).status;
  };
  t.equal(await call({ shop: { id: 'one', secret: 'x' } }), 200);
  t.equal(await call({ shop: { id: 'two' } }), 403);
  t.equal(await call({ shop: { id: 'one' }, sub: 'bob' }), 403);
  t.equal((await ask(pair.outboundPort)).status, 403, 'no token is no error, and nobody');
  const lines = await pair.log('server', 4);
  t.strictSame(
    lines.map(({ inputs }) => ({ claims: Object(inputs).claims })),
    [
      { claims: { iss: ISSUER, sub: 'ann', shop: { id: 'one' } } },
      { claims: { iss: ISSUER, sub: 'ann', shop: { id: 'two' } } },
      { claims: { iss: ISSUER, sub: 'bob', shop: { id: 'one' } } },
      { claims: null },
    ],
  );
});

t.test('in audit mode a bad token is recorded and goes on, without anybody`s claims', async (t) => {
  const app = await startApp(t, echo);
  const rule = { jwks: jwks(await signer()), outputClaimToHeaders: [{ header: 'x-subject', claim: 'sub' }] };
  const pair = await startPair(t, app.port, ALLOW_ALL + authentication(rule) + AUDIT);
  const headers = { authorization: 'Bearer nonsense', 'x-subject': 'root' };
  const { status, body } = await ask(pair.outboundPort, { headers });
  t.equal(status, 200);
  t.equal(JSON.parse(body).headers['x-subject'], undefined);
  t.match(await pair.log('server', 1), [{ decision: 'audit', code: 'jwt_malformed' }]);
});

t.test('a WebSocket begins with a request, which is judged like any other', async (t) => {
  const server = await listen(http.createServer());
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket, request) => socket.send(String(request.headers.authorization)));
  t.teardown(() => {
    sockets.close();
    server.close();
    server.closeAllConnections();
  });
  const key = await signer();
  const pair = await startPair(t, portOf(server), ALLOW_ALL + authentication({ jwks: jwks(key) }));
  const first = (token: string) =>
    new Promise<string>((resolve) => {
      const headers = { host: 'server.test', authorization: `Bearer ${token}` };
      const socket = new WebSocket(`ws://127.0.0.1:${pair.outboundPort}`, { headers });
      socket.on('error', ({ message }) => resolve(message));
      socket.on('message', (data) => {
        resolve(String(data));
        socket.close();
      });
    });
  t.equal(await first(await key.sign(claims())), 'undefined', 'the app has no token');
  t.match(await first('nonsense'), /401/);
});
