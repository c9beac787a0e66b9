import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { jwks, signer } from '../../policy/authentication/tokens.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { startKeyServer } from '../../support/key-server.ts';
import { startSidecarProcess } from '../../support/sidecar-process.ts';
import { startApp } from '../../support/start-app.ts';

const WORKERS = 2;

t.test('every worker judges tokens, and a sidecar that restarts without its issuer too', async (t) => {
  const app = await startApp(t, (request, response) => response.end(request.url));
  const key = await signer();
  const keys = await startKeyServer(t, () => jwks(key));
  const policies = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: test}
spec: {jwtRules: [{issuer: i, jwksUri: "${keys.url}", fromParams: [t]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: test}
spec: {rules: [{from: [{source: {requestPrincipals: ["i/ann"]}}]}]}
`;
  const state = await mkdtemp(join(tmpdir(), 'lateral-keys-')); // outside of the folder that each start makes anew
  t.teardown(() => rm(state, { recursive: true, force: true }));
  const more = `stateDirectory: ${state}\nconcurrency: ${WORKERS}\n`;
  const token = await key.sign({ iss: 'i', sub: 'ann', exp: Math.floor(Date.now() / 1_000) + 300 });
  const first = await startSidecarProcess(t, app.port, policies, more);
  t.equal(await first.ask(`/orders?a=1&t=${token}`).then(({ status, body }) => `${status} ${body}`), '200 /orders?a=1');
  t.strictSame(await first.statuses(10, `/?t=${token}`), [200]);
  t.strictSame(await first.statuses(10, '/?t=nonsense'), [401]);
  t.strictSame(await first.statuses(10, '/'), [403]);
  await until(() => keys.asked.length >= WORKERS);
  t.equal(keys.asked.length, WORKERS, 'each has keys of its own, fetched once');
  t.equal((await readdir(state)).filter((name) => name.startsWith('issuer-keys-')).length, 1);
  const fetchedAt = await first.metric(`lateral_issuer_keys_timestamp_seconds{source="${keys.url}"}`);
  t.ok(Math.abs(fetchedAt - Date.now() / 1_000) < 60, `one time of both workers: ${fetchedAt}`);
  first.child.kill('SIGTERM');
  t.equal(await first.exited, 0);
  await keys.stop();
  const second = await startSidecarProcess(t, app.port, policies, more);
  t.strictSame(await second.statuses(10, `/?t=${token}`), [200]);
  const isSaid = () => second.events.some((line) => line.includes('issuer_keys_failed'));
  await until(isSaid);
  t.ok(isSaid(), 'and says that it could not ask');
  t.equal(await second.metric('lateral_issuer_keys_timestamp_seconds'), 0);
  t.ok((await second.metric('lateral_issuer_keys_failures_total')) >= 1);
});
