import t from 'tap';
import { MAX_KEYS } from '#policy/authentication/key-set.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';
import { compact, jwks, signer } from './tokens.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

function problemsOf(spec: string, apiVersion = 'security.istio.io/v1'): readonly string[] {
  const head = `apiVersion: ${apiVersion}\nkind: RequestAuthentication\nmetadata: {name: jwt, namespace: shop}\nspec:\n`;
  const text = head + spec.replace(/^/gm, '  ');
  const { problems } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  return problems.map((problem) => formatProblem(problem).replace('a.yaml:', ''));
}

const URI = 'jwksUri: https://i.example/jwks';

t.test('what Istio takes is taken', async (t) => {
  const keys = jwks(await signer(), await signer('RS256'));
  const whole = `selector: {matchLabels: {app: orders}}
jwtRules:
- issuer: https://i.example
  audiences: [orders, https://orders.example/]
  jwksUri: https://i.example/jwks
  fromHeaders: [{name: Authorization, prefix: "Bearer "}, {name: X_Token, prefix: Token}, {name: x.y}]
  fromParams: [access_token]
  fromCookies: [jwt]
  outputPayloadToHeader: x-payload
  outputClaimToHeaders: [{header: x-sub, claim: sub}, {header: x-org, claim: org.id}]
  forwardOriginalToken: true
  timeout: 1.5s
- {issuer: by-discovery@accounts.example, jwks: '${keys}'}
- {issuer: https://accounts.example}
- {issuer: a, jwks_uri: http://i.example/jwks, timeout: 600ms}`;
  t.strictSame(problemsOf(whole), []);
  t.strictSame(problemsOf(whole, 'lateral.dev/v1alpha1'), []);
  t.strictSame(problemsOf('{}', 'security.istio.io/v1beta1'), []);
});

t.test('what is wrong has its place, and what to write', async (t) => {
  const rule = (text: string) => `jwtRules:\n- ${text}`;
  const key = { kty: 'RSA', n: 'AQAB'.repeat(100), e: 'AQAB' };
  const many = JSON.stringify({ keys: Array(MAX_KEYS + 1).fill(key) });
  const table: readonly (readonly [spec: string, problems: readonly (string | RegExp)[]])[] = [
    [rule(URI), ['6:5: error missing_field spec.jwtRules[0]: missing field issuer']],
    [rule('issuer: ""'), ['6:13: error invalid_value spec.jwtRules[0].issuer: must not be empty']],
    [rule('{issuer: a, jwksURI: x}'), [/suspicious_value/, /unknown_field .* did you mean jwksUri\?/]],
    [rule('{issuer: a, jwksUri: "file:///etc/passwd"}'), [/"file:\/\/\/etc\/passwd" is not an http/]],
    [rule('{issuer: a, jwksUri: "https://a:b@i.example"}'), [/is not an http/]],
    [rule(`{issuer: a, ${URI}, jwks: '{"keys":[]}'}`), [/^6:\d+: error invalid_value .*only one of jwks and jwksUri/]],
    [rule('{issuer: a}'), [/^6:\d+: warning suspicious_value .*the issuer is no URL/]],
    [rule("{issuer: a, jwks: '{}'}"), [/expected a JWK set/]],
    [rule('{issuer: a, jwks: "<html>"}'), [/the keys are not JSON/]],
    [rule(`{issuer: a, jwks: '{"keys":[{"kty":"EC","crv":"P-192"}]}'}`), [/warning .*none of these keys can verify/]],
    [rule(`{issuer: a, jwks: '${many}'}`), [/1001 keys exceed the limit of 1000/]],
    [
      rule(`{issuer: a, ${URI}, outputPayloadToHeader: Content-Length}`),
      [/is not a header that a claim may be written/],
    ],
    [
      rule(`{issuer: a, ${URI}, outputPayloadToHeader: X_Forwarded-Client_Cert}`),
      [/is not a header that a claim may be written/],
    ],
    [rule(`{issuer: a, ${URI}, outputClaimToHeaders: [{header: "x y", claim: a}]}`), [/"x y" is not a header name/]],
    [
      rule(`{issuer: a, ${URI}, outputClaimToHeaders: [{header: x, claim: a}, {header: X, claim: b}]}`),
      [/outputClaimToHeaders\[1\]\.header: X is written twice/],
    ],
    [rule(`{issuer: a, ${URI}, fromHeaders: [{name: 'a b'}]}`), [/"a b" is not a header name/]],
    [rule(`{issuer: a, ${URI}, timeout: 5}`), [/expected a duration such as 5s or 600ms, got 5/]],
    [rule(`{issuer: a, ${URI}, timeout: 2m}`), [/2m is outside of 1ms to 60s/]],
    ['targetRefs: [{kind: Gateway, name: g}]', [/5:3: warning invalid_value spec: .*ignored on sidecars/]],
    ['selector: {}\ntargetRefs: [{kind: Gateway, name: g}]', [/cannot both be set/]],
  ];
  for (const [spec, expected] of table) {
    const problems = problemsOf(spec);
    t.equal(problems.length, expected.length, problems.join('\n'));
    for (const [index, one] of expected.entries()) t.match(problems[index], one);
  }
  t.same(problemsOf('targetRefs: [{kind: Service, name: s}]', 'lateral.dev/v1alpha1'), []);
});

t.test('a set of a thousand keys is read, and one of more than a MiB is not', async (t) => {
  const key = { kty: 'RSA', n: 'A'.repeat(342), e: 'AQAB' };
  const keys = JSON.stringify({ keys: Array.from({ length: MAX_KEYS }, (_, index) => ({ ...key, kid: `${index}` })) });
  t.strictSame(problemsOf(`jwtRules: [{issuer: a, jwks: '${keys}'}]`), []);
  const large = JSON.stringify({ keys: [], more: compact({}, 'x'.repeat(1024 * 1024)) });
  t.match(problemsOf(`jwtRules: [{issuer: a, jwks: '${large}'}]`), [/exceed the limit of 1048576/]);
});
