import fc from 'fast-check';
import t from 'tap';
import { compact, FORGETFUL, ISSUER, judgeOf, jwks, NOW_S, outcome, signer } from './tokens.ts';

const CLAIMS = { iss: ISSUER, sub: 'ann', exp: NOW_S + 300 };
const RUNS = { numRuns: 2_000 };

t.test('whatever stands for a token, it is refused by a code of tokens, and nothing is thrown', async (t) => {
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(await signer(), await signer('RS256', 'r')) }]);
  const part = fc.oneof(
    fc.string(),
    fc.base64String(),
    fc.json().map((json) => Buffer.from(json).toString('base64url')),
  );
  const pieces = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('.'));
  const header = fc.record(
    {
      alg: fc.oneof(fc.constantFrom('none', 'ES256', 'RS256', 'HS256'), fc.jsonValue()),
      kid: fc.jsonValue(),
      crit: fc.jsonValue(),
    },
    { requiredKeys: [] },
  );
  const payload = fc.record(
    {
      iss: fc.oneof(fc.constant(ISSUER), fc.jsonValue()),
      sub: fc.jsonValue(),
      aud: fc.jsonValue(),
      exp: fc.jsonValue(),
    },
    { requiredKeys: ['iss'] },
  );
  const shaped = fc.tuple(header, payload, fc.base64String()).map(([head, body, end]) => compact(head, body, end));
  await fc.assert(
    fc.asyncProperty(fc.oneof(pieces, shaped), async (text) => {
      const judgement = await judge.judge(['authorization', `Bearer ${text}`], '');
      return outcome(judgement).startsWith('jwt_');
    }),
    RUNS,
  );
  t.pass();
});

t.test('a good token with any one byte changed is refused', async (t) => {
  const key = await signer();
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(key), fromHeaders: [{ name: 'x-jwt' }] }]);
  const good = await key.sign(CLAIMS);
  t.equal(outcome(await judge.judge(['x-jwt', good], '')), `allowed ${ISSUER}/ann`);
  const bits = (text: string) =>
    text
      .split('.')
      .map((piece) => Buffer.from(piece, 'base64url').toString('hex'))
      .join('.');
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(127));
  await fc.assert(
    fc.asyncProperty(change, async ([at, code]) => {
      const changed = good.slice(0, at) + String.fromCharCode(code) + good.slice(at + 1);
      // the last character of a part has bits that stand for nothing: another spelling of the same token
      if (changed.trim() === good || (bits(changed) === bits(good) && /^[\w.-]+$/.test(changed))) return true;
      return outcome(await judge.judge(['x-jwt', changed], '')).startsWith('jwt_');
    }),
    RUNS,
  );
  t.pass();
});

t.test('no placement of a forged token beside a good one makes it count', async (t) => {
  const [key, thief] = [await signer(), await signer()];
  const places = { fromHeaders: [{ name: 'x-jwt' }], fromParams: ['t'], fromCookies: ['jwt'] };
  const judge = judgeOf(FORGETFUL, [{ issuer: ISSUER, jwks: jwks(key), ...places }]);
  const good = await key.sign(CLAIMS);
  const forged = await thief.sign({ ...CLAIMS, sub: 'root' });
  const put = (token: string, place: number): readonly [headers: string[], query: string] =>
    place === 0 ? [['X-JWT', token], ''] : place === 1 ? [[], `t=${token}`] : [['Cookie', `a=b; jwt=${token}`], ''];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.nat(2)), { minLength: 1, maxLength: 6 }), async (tokens) => {
      const placed = tokens.map(([isGood, place]) => put(isGood ? good : forged, place));
      const query = placed.flatMap(([, one]) => (one === '' ? [] : [one])).join('&');
      const judgement = await judge.judge(
        placed.flatMap(([headers]) => headers),
        query,
      );
      const isForged = tokens.some(([isGood]) => !isGood);
      return outcome(judgement) === (isForged ? 'jwt_signature_invalid' : `allowed ${ISSUER}/ann`);
    }),
    { numRuns: 300 },
  );
  t.pass();
});
