import t from 'tap';
import { FORGETFUL, ISSUER, judgeOf, jwks, NOW_S, signer } from './tokens.ts';

const GOOD = {
  iss: ISSUER,
  sub: 'ann',
  exp: NOW_S + 300,
  admin: true,
  level: 3,
  org: { id: 'o1' },
  roles: ['a'],
  odd: 'a\nb',
  name: 'Jö',
};

t.test('a token goes no further than the sidecar, wherever it stood', async (t) => {
  const key = await signer();
  const rule = {
    issuer: ISSUER,
    jwks: jwks(key),
    fromHeaders: [{ name: 'x-jwt' }],
    fromParams: ['tok en'],
    fromCookies: ['jwt'],
  };
  const judge = judgeOf(FORGETFUL, [rule]);
  const keeping = judgeOf(FORGETFUL, [{ ...rule, forwardOriginalToken: true }]);
  const token = await key.sign(GOOD);
  const rows: readonly (readonly [headers: string[], query: string, kept: string[], keptQuery: string])[] = [
    [['A', '1', 'X-Jwt', token, 'b', ''], 'q=1', ['A', '1', 'b', ''], 'q=1'],
    [['cookie', `a=b; jwt=${token}; c=d`], '', ['cookie', 'a=b; c=d'], ''],
    [['cookie', `jwt="${token}"`, 'b', '2'], '', ['b', '2'], ''],
    [['a', '1'], `x=1&tok+en=${token}&y=2`, ['a', '1'], 'x=1&y=2'],
    [['a', '1'], `tok%20en=${token}`, ['a', '1'], ''],
  ];
  for (const [headers, query, kept, keptQuery] of rows) {
    t.match(await judge.judge(headers, query), { kind: 'accepted', claims: { principal: `${ISSUER}/ann` } });
    const judgement = await judge.judge(headers, query);
    t.strictSame([judgement.headers, judgement.kind === 'accepted' && judgement.query], [kept, keptQuery]);
    t.match(await keeping.judge(headers, query), { headers, query });
  }
  t.match(await judge.judge([], `tok+en=${token}&tok%20en=bad`), { kind: 'refused', code: 'jwt_malformed' });
  t.strictSame([...judge.parameters], ['tok en']);
});

t.test(
  'a header that an app may take for the one of the token is judged with it, and goes no further either',
  async (t) => {
    const key = await signer();
    const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(key), fromHeaders: [{ name: 'x-jwt' }] }]);
    const token = await key.sign(GOOD);
    t.match(await judge.judge(['X-Jwt', token, 'X_Jwt', 'forged'], ''), { kind: 'refused', code: 'jwt_malformed' });
    t.match(await judge.judge(['x_jwt', 'forged'], ''), { kind: 'refused', code: 'jwt_malformed' });
    t.match(await judge.judge(['x_jwt', token], ''), { kind: 'accepted', headers: [] });
    const underscored = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(key), fromHeaders: [{ name: 'x_jwt' }] }]);
    t.match(await underscored.judge(['x-jwt', 'forged'], ''), { kind: 'refused', code: 'jwt_malformed' });
  },
);

t.test(
  'the scheme of Authorization is one in any case: no token is read by an app behind the one that was judged',
  async (t) => {
    const key = await signer();
    const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(key), forwardOriginalToken: true }]);
    const token = await key.sign(GOOD);
    for (const scheme of ['bearer', 'BEARER', 'beArer', 'Bearer\t']) {
      t.match(await judge.judge(['authorization', `${scheme} forged`], ''), { kind: 'refused', code: 'jwt_malformed' });
      t.match(await judge.judge(['authorization', `${scheme} ${token}`], ''), {
        claims: { principal: `${ISSUER}/ann` },
      });
      const both = ['authorization', `Bearer ${token}`, 'authorization', `${scheme} forged`];
      t.match(await judge.judge(both, ''), { kind: 'refused' }, 'beside a good one');
    }
    const named = judgeOf(FORGETFUL, [
      { issuer: ISSUER, jwks: jwks(key), fromHeaders: [{ name: 'x-a', prefix: 'Tok ' }] },
    ]);
    t.match(
      await named.judge(['x-a', 'tok forged'], ''),
      { kind: 'accepted', claims: undefined },
      'other prefixes are as written',
    );
  },
);

t.test('headers that tell claims are the sidecar`s alone', async (t) => {
  const key = await signer();
  const claims = ['sub', 'admin', 'level', 'org.id', 'roles', 'odd', 'name', 'absent'];
  const judge = judgeOf(FORGETFUL, [
    {
      issuer: ISSUER,
      jwks: jwks(key),
      outputPayloadToHeader: 'X-Payload',
      outputClaimToHeaders: claims.map((claim) => ({ header: `x-${claim.replace('.', '-')}`, claim })),
    },
  ]);
  const forged = ['x-sub', 'root', 'X-PAYLOAD', 'e30', 'X-Absent', 'yes', 'other', '1'];
  t.strictSame(await judge.judge(forged, ''), {
    kind: 'accepted',
    claims: undefined,
    headers: ['other', '1'],
    query: '',
  });
  t.match(
    await judge.judge(['X_Sub', 'root', 'x-org_id', 'o2', 'x_other', '1'], ''),
    { headers: ['x_other', '1'] },
    'nor what an app may take for them',
  );
  const token = await key.sign(GOOD);
  const judgement = await judge.judge([...forged, 'authorization', `Bearer ${token}`], '');
  t.strictSame(judgement.headers, [
    ...['other', '1'],
    ...['X-Payload', token.split('.')[1]],
    ...['x-sub', 'ann'],
    ...['x-admin', 'true'],
    ...['x-level', '3'],
    ...['x-org-id', 'o1'],
    ...['x-roles', Buffer.from('["a"]').toString('base64')],
    ...['x-name', Buffer.from('Jö').toString('latin1')],
  ]);
  t.match(await judge.judge([...forged, 'authorization', 'Bearer x'], ''), {
    kind: 'refused',
    headers: ['other', '1', 'authorization', 'Bearer x'],
  });
});

t.test('what a request without a token costs is nothing new', async (t) => {
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(await signer()) }]);
  const headers = ['a', '1'];
  const judgement = judge.judge(headers, 'q');
  t.notOk(judgement instanceof Promise);
  t.equal('headers' in judgement && judgement.headers, headers);
});
