import t from 'tap';
import { MAX_TOKEN_CHARACTERS } from '#policy/authentication/json-web-token.ts';
import { CLOCK_SKEW_S } from '#policy/authentication/judge-claims.ts';
import { MAX_TOKENS_OF_REQUEST } from '#policy/authentication/judge-tokens.ts';
import { compact, FORGETFUL, ISSUER, judgeOf, jwks, NOW_S, outcome, signer } from './tokens.ts';

const GOOD = { iss: ISSUER, sub: 'ann', exp: NOW_S + 300 };
const bearer = (token: string) => ['authorization', `Bearer ${token}`];

t.test('each way of being bad has its code', async (t) => {
  const key = await signer();
  const other = await signer();
  const weak = await signer('RS256', 'rsa');
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, audiences: ['orders'], jwks: jwks(key, weak) }]);
  const forOrders = { ...GOOD, aud: 'orders' };
  const good = await key.sign(forOrders);
  const [header = '', payload = '', signature = ''] = good.split('.');
  const changed = Buffer.from(JSON.stringify({ ...forOrders, sub: 'root' })).toString('base64url');
  const secret = Buffer.from(JSON.stringify(key.jwk)).toString('base64url');
  const rows: readonly (readonly [title: string, token: string, outcome: string])[] = [
    ['good', good, `allowed ${ISSUER}/ann`],
    ['one of several audiences', await key.sign({ ...GOOD, aud: ['web', 'orders'] }), `allowed ${ISSUER}/ann`],
    ['an audience as URL', await key.sign({ ...GOOD, aud: 'https://orders/' }), `allowed ${ISSUER}/ann`],
    ['without kid', await key.sign(forOrders, { kid: undefined }), `allowed ${ISSUER}/ann`],
    ['without exp', await key.sign({ iss: ISSUER, sub: 'ann', aud: 'orders' }), `allowed ${ISSUER}/ann`],
    ['no token', 'hello', 'jwt_malformed'],
    ['empty', '', 'jwt_malformed'],
    ['two parts', `${header}.${payload}`, 'jwt_malformed'],
    ['five parts (encrypted)', `${good}.a.b`, 'jwt_malformed'],
    ['no signature', `${header}.${payload}.`, 'jwt_malformed'],
    ['a header that is a list', compact([], forOrders), 'jwt_malformed'],
    ['a payload that is a text', compact({ alg: 'ES256' }, 'x'), 'jwt_malformed'],
    ['a critical extension', compact({ alg: 'ES256', crit: ['b64'], b64: false }, forOrders), 'jwt_malformed'],
    [
      'exp that is a text',
      await key.sign({ ...forOrders, x: 1 }).then(() => compact({ alg: 'ES256' }, { ...forOrders, exp: '9' })),
      'jwt_malformed',
    ],
    ['aud that is a number', compact({ alg: 'ES256' }, { ...GOOD, aud: 4 }), 'jwt_malformed'],
    ['iss that is a list', compact({ alg: 'ES256' }, { ...forOrders, iss: [ISSUER] }), 'jwt_malformed'],
    ['none', compact({ alg: 'none' }, forOrders), 'jwt_algorithm_refused'],
    ['None', compact({ alg: 'NONE' }, forOrders), 'jwt_algorithm_refused'],
    ['another algorithm', compact({ alg: 'ES256K' }, forOrders), 'jwt_algorithm_refused'],
    ['another issuer', await key.sign({ ...forOrders, iss: `${ISSUER}/` }), 'jwt_issuer_unknown'],
    ['no issuer', await key.sign({ sub: 'ann', aud: 'orders' }), 'jwt_issuer_unknown'],
    ['expired', await key.sign({ ...forOrders, exp: NOW_S - CLOCK_SKEW_S - 1 }), 'jwt_expired'],
    ['expired within the skew', await key.sign({ ...forOrders, exp: NOW_S - CLOCK_SKEW_S }), `allowed ${ISSUER}/ann`],
    ['not yet', await key.sign({ ...forOrders, nbf: NOW_S + CLOCK_SKEW_S + 1 }), 'jwt_not_yet_valid'],
    ['nearly', await key.sign({ ...forOrders, nbf: NOW_S + CLOCK_SKEW_S }), `allowed ${ISSUER}/ann`],
    ['issued in future', await key.sign({ ...forOrders, iat: NOW_S + CLOCK_SKEW_S + 1 }), 'jwt_not_yet_valid'],
    ['for others', await key.sign({ ...GOOD, aud: ['web', 'orders2'] }), 'jwt_audience_refused'],
    ['for nobody', await key.sign(GOOD), 'jwt_audience_refused'],
    ['by an unknown key', await other.sign(forOrders, { kid: 'k2' }), 'jwt_key_unknown'],
    ['by an algorithm the key is not for', compact({ alg: 'ES384', kid: 'k1' }, forOrders), 'jwt_key_unknown'],
    ['HS256 with the public key as secret', compact({ alg: 'HS256', kid: 'k1' }, forOrders, secret), 'jwt_key_unknown'],
    ['by another key of that name', await other.sign(forOrders), 'jwt_signature_invalid'],
    ['altered', `${header}.${changed}.${signature}`, 'jwt_signature_invalid'],
    ['too large', `${header}.${payload}.${'a'.repeat(MAX_TOKEN_CHARACTERS)}`, 'jwt_too_large'],
  ];
  for (const [title, token, expected] of rows) {
    const judgement = await judge.judge(bearer(token), '');
    t.equal(outcome(judgement), expected, title);
    if (judgement.kind === 'refused' && token.length > 20)
      t.notMatch(judgement.reason, token.slice(-20), 'no token in a reason');
  }
});

t.test('no token is nobody, which is for the rules to judge', async (t) => {
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(await signer()) }]);
  for (const headers of [
    [],
    ['authorization', 'Basic YTpi'],
    ['authorization', 'bearers x'],
    ['x-token', 'Bearer x'],
  ]) {
    t.equal(outcome(await judge.judge(headers, '')), 'allowed');
  }
  t.equal(outcome(await judge.judge([], 'access_token=x.y.z')), 'allowed', 'no query, unless a policy names it');
});

t.test('every algorithm that keys may have, and a secret of one`s own', async (t) => {
  for (const alg of ['RS256', 'PS384', 'ES256', 'ES384', 'ES512', 'EdDSA']) {
    const key = await signer(alg);
    const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(key) }]);
    t.equal(outcome(await judge.judge(bearer(await key.sign(GOOD)), '')), `allowed ${ISSUER}/ann`, alg);
  }
});

t.test('a token without kid is tried against the keys of its algorithm, and no more than a few', async (t) => {
  const many = await Promise.all(Array.from({ length: 20 }, (_, index) => signer('ES256', `k${index}`)));
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(...many) }]);
  const anonymous = { kid: undefined };
  t.equal(
    outcome(await judge.judge(bearer((await many[15]?.sign(GOOD, anonymous)) ?? ''), '')),
    `allowed ${ISSUER}/ann`,
  );
  t.equal(
    outcome(await judge.judge(bearer((await many[16]?.sign(GOOD, anonymous)) ?? ''), '')),
    'jwt_signature_invalid',
  );
  t.equal(outcome(await judge.judge(bearer((await many[19]?.sign(GOOD)) ?? ''), '')), `allowed ${ISSUER}/ann`);
});

t.test('several issuers share a place; each judges its own tokens alone', async (t) => {
  const [a, b] = [await signer(), await signer()];
  const judge = judgeOf(
    FORGETFUL,
    [{ issuer: 'a', jwks: jwks(a) }],
    [{ issuer: 'b', jwks: jwks(b), fromHeaders: [{ name: 'Authorization', prefix: 'Bearer ' }] }],
  );
  t.equal(outcome(await judge.judge(bearer(await a.sign({ iss: 'a', sub: 's' })), '')), 'allowed a/s');
  t.equal(outcome(await judge.judge(bearer(await b.sign({ iss: 'b', sub: 's' })), '')), 'allowed b/s');
  t.equal(outcome(await judge.judge(bearer(await a.sign({ iss: 'b', sub: 's' })), '')), 'jwt_signature_invalid');
  t.equal(outcome(await judge.judge(bearer(await a.sign({ iss: 'c', sub: 's' })), '')), 'jwt_issuer_unknown');
});

t.test('one issuer with two rules: any of them may take the token', async (t) => {
  const [old, recent] = [await signer(), await signer()];
  const judge = judgeOf(
    FORGETFUL,
    [{ issuer: ISSUER, audiences: ['web'], jwks: jwks(old) }],
    [
      { issuer: ISSUER, jwks: jwks(old) },
      { issuer: ISSUER, audiences: ['orders'], jwks: jwks(recent) },
    ],
  );
  t.equal(
    outcome(await judge.judge(bearer(await recent.sign({ ...GOOD, aud: 'orders' })), '')),
    `allowed ${ISSUER}/ann`,
  );
  t.equal(outcome(await judge.judge(bearer(await recent.sign({ ...GOOD, aud: 'web' })), '')), 'jwt_signature_invalid');
});

t.test('several tokens must all be good; the first rule says who speaks', async (t) => {
  const [a, b] = [await signer(), await signer()];
  const rules = [
    { issuer: 'b', jwks: jwks(b), fromHeaders: [{ name: 'x-b' }] },
    { issuer: 'a', jwks: jwks(a), fromHeaders: [{ name: 'x-a' }] },
  ];
  const judge = judgeOf(FORGETFUL, rules);
  const ofA = await a.sign({ iss: 'a', sub: 's' });
  const ofB = await b.sign({ iss: 'b', sub: 's' });
  t.equal(outcome(await judge.judge(['x-b', ofB, 'x-a', ofA], '')), 'allowed a/s');
  t.equal(outcome(await judge.judge(['x-b', 'bad', 'x-a', ofA], '')), 'jwt_malformed');
  t.equal(outcome(await judge.judge(['x-b', ofA, 'x-a', ofA], '')), 'jwt_issuer_unknown', 'where it stands counts');
  t.equal(outcome(await judge.judge(['x-a', ofA, 'X-A', 'bad'], '')), 'jwt_malformed', 'a second field of that name');
  const many = Array.from({ length: MAX_TOKENS_OF_REQUEST + 1 }, () => ['x-a', ofA]).flat();
  t.equal(outcome(await judge.judge(many, '')), 'jwt_too_many');
});

t.test('in one header, the token is behind the prefix, and none hides behind it', async (t) => {
  const key = await signer();
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(key) }]);
  const good = await key.sign(GOOD);
  for (const value of [`Bearer ${good}`, `Bearer   ${good}`, `x Bearer ${good}; y`]) {
    t.equal(outcome(await judge.judge(['Authorization', value], '')), `allowed ${ISSUER}/ann`, value.slice(0, 12));
  }
  t.equal(outcome(await judge.judge(['Authorization', `Bearer ${good},Bearer bad`], '')), 'jwt_malformed');
});

t.test('keys that cannot be had are no fault of the token', async (t) => {
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwksUri: 'https://keys.example/jwks' }]);
  t.equal(outcome(await judge.judge(bearer(compact({ alg: 'ES256' }, GOOD)), '')), 'issuer_keys_unavailable');
  t.strictSame(
    judge.sources.map(({ url }) => url),
    ['https://keys.example/jwks'],
  );
  const discovering = judgeOf(FORGETFUL, [{ issuer: `${ISSUER}/` }]);
  t.strictSame(
    discovering.sources.map(({ url }) => url),
    [`${ISSUER}/.well-known/openid-configuration`],
  );
});
