import t from 'tap';
import { referredClaims } from '#policy/authentication/referred-claims.ts';

const policy = (...rules: readonly object[]) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  namespace: 'shop',
  name: 'a',
  // only what is looked at
  spec: { rules } as never,
});
const when = (...keys: readonly string[]) => ({ when: keys.map((key) => ({ key, values: ['x'] })) });

t.test('claims that policies look at are known by the names that lead to them', (t) => {
  t.strictSame(referredClaims([policy(when('source.ip', 'request.headers[x]'), {})]), []);
  const keys = ['request.auth.claims[realm][roles]', 'request.auth.audiences', 'request.auth.presenter'];
  t.strictSame(referredClaims([policy(when(...keys)), policy(when('request.auth.claims[aud]'))]), [
    ['aud'],
    ['azp'],
    ['realm', 'roles'],
  ]);
  t.strictSame(referredClaims([policy(when('request.auth.principal'))]), [['iss'], ['sub']]);
  for (const field of ['requestPrincipals', 'notRequestPrincipals']) {
    t.strictSame(referredClaims([policy({ from: [{ source: { [field]: ['*'] } }] })]), [['iss'], ['sub']]);
  }
  t.end();
});
