import { chmod, readdir } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { TokenJudge } from '#policy/authentication/judge-tokens.ts';
import { MAX_KEY_SET_BYTES, MAX_KEYS } from '#policy/authentication/key-set.ts';
import { FIRST_RETRY_MS, JWKS_FRESH_MS, UNKNOWN_KEY_INTERVAL_MS } from '#sidecar/authentication/issuer-keys.ts';
import { IssuerTokenVerifier } from '#sidecar/authentication/issuer-token-verifier.ts';
import { type KeptKeys, keysKeptIn, NOTHING_KEPT } from '#sidecar/authentication/kept-keys.ts';
import { issuerGauges } from '#sidecar/telemetry/issuer-gauges.ts';
import { judgeOf, jwks, outcome, type Signer, signer } from '../../policy/authentication/tokens.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { type KeyServer, startKeyServer } from '../../support/key-server.ts';

const ISSUER = 'issuer';
const GOOD = `allowed ${ISSUER}/ann`;

/** A verifier whose time stands still until the test moves it. */
class Sidecar {
  nowMs = 0;
  readonly events: string[] = [];
  /** What is planned: milliseconds, and what then. */
  readonly plans = new Map<object, { readonly afterMs: number; readonly run: () => void }>();
  readonly verifier: IssuerTokenVerifier;
  readonly judge: TokenJudge;

  constructor(t: Test, server: Pick<KeyServer, 'url'>, kept: KeptKeys = NOTHING_KEPT, timeout = '5s', issuer = ISSUER) {
    this.verifier = new IssuerTokenVerifier({
      monotonicMs: () => this.nowMs,
      nowMs: () => Date.now() + this.nowMs,
      schedule: (afterMs, run) => {
        const plan = { afterMs, run };
        this.plans.set(plan, plan);
        return () => this.plans.delete(plan);
      },
      kept,
      log: (event) => this.events.push(event),
    });
    const keys = issuer === ISSUER ? { jwksUri: server.url } : {};
    this.judge = judgeOf(this.verifier, [{ issuer, ...keys, timeout }]);
    t.teardown(() => this.verifier.close());
  }

  async ask(token: string): Promise<string> {
    return outcome(await this.judge.judge(['authorization', `Bearer ${token}`], ''));
  }

  async reason(token: string): Promise<string> {
    const judgement = await this.judge.judge(['authorization', `Bearer ${token}`], '');
    return judgement.kind === 'refused' ? judgement.reason : '';
  }

  /** What is planned comes now; resolves when all that it asks has been answered. */
  async runPlans(server: KeyServer): Promise<void> {
    const before = server.asked.length;
    for (const { run } of [...this.plans.values()]) run();
    while (server.asked.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
    while (this.plans.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const token = (by: Signer, more = {}) =>
  by.sign({ iss: ISSUER, sub: 'ann', exp: Math.floor(Date.now() / 1_000) + 300, ...more });

t.test('keys are fetched once, and a verified token costs no waiting', async (t) => {
  const key = await signer();
  const server = await startKeyServer(t, () => jwks(key));
  const sidecar = new Sidecar(t, server);
  const good = await token(key);
  t.strictSame(await Promise.all([sidecar.ask(good), sidecar.ask(good), sidecar.ask(good)]), [GOOD, GOOD, GOOD]);
  t.notOk(sidecar.judge.judge(['authorization', `Bearer ${good}`], '') instanceof Promise, 'remembered');
  t.equal(await sidecar.ask(await token(key, { aud: 'x' })), GOOD);
  t.strictSame(server.asked, ['/jwks']);
});

t.test('it is known since when keys may be old, and how often they could not be had', async (t) => {
  const key = await signer();
  const server = await startKeyServer(t, () => jwks(key));
  const sidecar = new Sidecar(t, server);
  const stated = () => sidecar.verifier.keysStates;
  t.equal(await sidecar.ask(await token(key)), GOOD);
  const [first] = stated();
  t.match(first, { url: server.url, hadAtMs: Number, failures: 0 });
  server.answer = (_request, response) => response.writeHead(500).end();
  sidecar.nowMs += JWKS_FRESH_MS;
  await sidecar.runPlans(server);
  t.strictSame(stated(), [{ ...first, failures: 1 }], 'a failure makes them no newer');
  server.answer = (_request, response) => response.end(jwks(key));
  await sidecar.runPlans(server);
  t.ok(
    (stated()[0]?.hadAtMs ?? 0) >= (first?.hadAtMs ?? 0) + JWKS_FRESH_MS,
    'the same keys again are as new as others',
  );
  const gauges = issuerGauges(stated);
  const many = Array.from({ length: 120 }, (_, at) => ({
    url: `https://u:p@i${at}.test/k?s=1`,
    hadAtMs: at * 1_000,
    failures: 1,
  }));
  const [times, failures] = issuerGauges(() => many).map(({ read }) => read());
  t.equal(times?.length, 101);
  t.strictSame(times?.[1], ['{source="https://i1.test/k"}', 1], 'no secret of the address');
  t.strictSame(times?.at(-1), ['{source="other"}', 100], 'the oldest of the others');
  t.strictSame(failures?.at(-1), ['{source="other"}', 20]);
  t.equal(gauges[0]?.joins, 'min');
});

t.test('keys that rotate are found at once, but not asked for again and again', async (t) => {
  const [old, recent, unknown] = [
    await signer('ES256', 'old'),
    await signer('RS256', 'new'),
    await signer('ES256', 'x'),
  ];
  let keys = jwks(old);
  const server = await startKeyServer(t, () => keys);
  const sidecar = new Sidecar(t, server);
  const ofOld = await token(old);
  t.equal(await sidecar.ask(ofOld), GOOD);
  keys = jwks(recent);
  t.equal(await sidecar.ask(await token(recent)), GOOD);
  t.equal(server.asked.length, 2);
  t.equal(await sidecar.ask(ofOld), 'jwt_key_unknown', 'verified before, by a key that is withdrawn');
  for (let index = 0; index < 5; index++) t.equal(await sidecar.ask(await token(unknown)), 'jwt_key_unknown');
  t.equal(server.asked.length, 2, 'not yet again');
  sidecar.nowMs += UNKNOWN_KEY_INTERVAL_MS;
  t.equal(await sidecar.ask(await token(unknown)), 'jwt_key_unknown');
  t.equal(server.asked.length, 3);
});

t.test('keys are fetched again before they are old, and the last good ones outlive an outage', async (t) => {
  const [old, recent] = [await signer('ES256', 'old'), await signer('ES256', 'new')];
  let keys = jwks(old);
  const server = await startKeyServer(t, () => keys);
  const sidecar = new Sidecar(t, server);
  t.equal(await sidecar.ask(await token(old)), GOOD);
  const [plan] = [...sidecar.plans.values()];
  t.ok(plan !== undefined && plan.afterMs <= JWKS_FRESH_MS && plan.afterMs > JWKS_FRESH_MS * 0.8);
  await server.stop();
  const failed = sidecar.events.length;
  for (const { run } of [...sidecar.plans.values()]) run();
  while (sidecar.events.length === failed) await new Promise((resolve) => setTimeout(resolve, 5));
  t.strictSame(sidecar.events, ['issuer_keys_failed']);
  t.equal(await sidecar.ask(await token(old)), GOOD);
  keys = jwks(recent);
  await server.start();
  await sidecar.runPlans(server);
  t.strictSame(sidecar.events, ['issuer_keys_failed', 'issuer_keys_recovered']);
  t.equal(await sidecar.ask(await token(recent)), GOOD);
});

t.test('answers that are no keys leave those of before', async (t) => {
  const key = await signer();
  let answer = jwks(key);
  const server = await startKeyServer(t, () => answer);
  const sidecar = new Sidecar(t, server);
  t.equal(await sidecar.ask(await token(key)), GOOD);
  const bad = [
    '',
    'null',
    '{"keys":{}}',
    '{"keys":[]}',
    '{"keys":[{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldC1z"}]}',
  ];
  for (answer of bad) {
    await sidecar.runPlans(server);
    t.equal(await sidecar.ask(await token(key)), GOOD, answer);
  }
  t.strictSame(sidecar.events, ['issuer_keys_failed'], 'said once');
});

t.test('without any keys a token can be neither accepted nor refused, and the reason says why', async (t) => {
  const key = await signer();
  const good = await token(key);
  const server = await startKeyServer(t, () => jwks(key));
  const cases: readonly (readonly [RegExp, (response: ServerResponse) => void])[] = [
    [/answered 404, expected 200/, (response) => response.writeHead(404).end()],
    [/answered 302, expected 200/, (response) => response.writeHead(302, { location: '/jwks' }).end()],
    [/exceeds the limit of 1048576 bytes/, (response) => response.end('x'.repeat(MAX_KEY_SET_BYTES + 1))],
    [
      /keys exceed the limit of 1000/,
      (response) => response.end(JSON.stringify({ keys: Array(MAX_KEYS + 1).fill(key.jwk) })),
    ],
    [/the keys are not JSON/, (response) => response.end('<html>')],
    [/no whole answer within 300 ms/, trickle],
    [/no whole answer within 300 ms/, () => {}],
    [/body length does not match/, (response) => response.writeHead(200, { 'content-length': '100' }).end('x')],
  ];
  for (const [expected, answer] of cases) {
    server.answer = (_request, response) => answer(response);
    const sidecar = new Sidecar(t, server, NOTHING_KEPT, '300ms');
    t.equal(await sidecar.ask(good), 'issuer_keys_unavailable');
    t.match(await sidecar.reason(good), expected);
    sidecar.verifier.close();
  }
});

t.test('a server that was away at first is asked again as long as tokens come', async (t) => {
  const key = await signer();
  const good = await token(key);
  const server = await startKeyServer(t, () => jwks(key));
  await server.stop();
  const sidecar = new Sidecar(t, server);
  t.equal(await sidecar.ask(good), 'issuer_keys_unavailable');
  await server.start();
  t.equal(await sidecar.ask(good), 'issuer_keys_unavailable', 'asked just now');
  sidecar.nowMs += FIRST_RETRY_MS;
  t.equal(await sidecar.ask(good), GOOD);
});

t.test('with a state directory the last good keys outlive a restart', async (t) => {
  const key = await signer();
  const good = await token(key);
  const server = await startKeyServer(t, () => jwks(key));
  const directory = join(t.testdir(), 'state');
  const before = new Sidecar(t, server, keysKeptIn(directory));
  t.equal(await before.ask(good), GOOD);
  while ((await readdir(directory)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  before.verifier.close();
  await server.stop();
  t.equal(await new Sidecar(t, server, keysKeptIn(directory)).ask(good), GOOD);
  t.equal(await new Sidecar(t, server).ask(good), 'issuer_keys_unavailable', 'it was the directory');
  const [file = ''] = await readdir(directory);
  await chmod(join(directory, file), 0o666);
  t.equal(
    await new Sidecar(t, server, keysKeptIn(directory)).ask(good),
    'issuer_keys_unavailable',
    'anybody may have written it',
  );
});

t.test('keys that no policy names any more are asked for no more', async (t) => {
  const key = await signer();
  const server = await startKeyServer(t, () => jwks(key));
  const sidecar = new Sidecar(t, server);
  sidecar.verifier.use(sidecar.judge.sources);
  t.equal(await sidecar.ask(await token(key)), GOOD, 'had before the first token, or with it');
  t.equal(sidecar.plans.size, 1);
  sidecar.verifier.use([]);
  t.equal(sidecar.plans.size, 0);
});

t.test('the OpenID configuration of an issuer names its keys, and may be of no use', async (t) => {
  const key = await signer();
  let jwksUri: unknown;
  const server = await startKeyServer(t, () => jwks(key));
  const issuer = server.url.replace('/jwks', '/tenant/');
  server.answer = ({ url }, response) => {
    if (url === '/keys') response.end(jwks(key));
    else if (url === '/tenant/.well-known/openid-configuration') response.end(JSON.stringify({ jwks_uri: jwksUri }));
    else response.writeHead(404).end();
  };
  const good = await token(key, { iss: issuer });
  const cases: readonly (readonly [jwksUri: unknown, expected: RegExp])[] = [
    [server.url.replace('/jwks', '/keys'), /^$/],
    [server.url.replace('/jwks', '/none'), /\/none: answered 404/],
    ['file:///etc/passwd', /names no jwks_uri that can be fetched/],
    [undefined, /names no jwks_uri/],
    [{}, /names no jwks_uri/],
  ];
  for (const [uri, expected] of cases) {
    jwksUri = uri;
    const sidecar = new Sidecar(t, server, NOTHING_KEPT, '5s', issuer);
    t.match(await sidecar.reason(good), expected);
  }
});

t.test('a server of keys must prove its name by https', async (t) => {
  const key = await signer();
  const { cert, key: privateKey } = new TestAuthority().leaf('spiffe://cluster.local/ns/x/sa/y');
  const server = createServer({ cert, key: privateKey }, (_request, response) => response.end(jwks(key)));
  const url = `https://127.0.0.1:${portOf(await listen(server))}/jwks`;
  t.teardown(() => server.close());
  const sidecar = new Sidecar(t, { url });
  t.match(await sidecar.reason(await token(key)), /certificate|issuer/);
});

/** One byte at a time, for ever: each is progress, and the whole never comes. */
function trickle(response: ServerResponse): void {
  const timer = setInterval(() => response.write(' '), 20);
  response.on('close', () => clearInterval(timer));
}
