import t, { type Test } from 'tap';
import { MAX_TOKEN_CHARACTERS } from '#policy/authentication/json-web-token.ts';
import { MAX_TOKENS_OF_REQUEST } from '#policy/authentication/judge-tokens.ts';
import { CODES } from '#policy/error/codes.ts';
import { PROVIDER_CODES } from '#policy/error/provider-codes.ts';
import { TOKEN_CODES } from '#policy/error/token-codes.ts';
import { openTraceSink } from '../../../examples/shop/trace-sink.ts';
import { compact, jwks, signer } from '../../policy/authentication/tokens.ts';
import { freePorts } from '../../support/free-ports.ts';
import { denied, startGrpcProvider } from '../../support/grpc-provider.ts';
import { type InboundSidecar, PERMISSIVE, readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';

const ISSUER = 'https://issuer.example';
const policy = (name: string, spec: string, version = 'security.istio.io/v1', kind = 'AuthorizationPolicy') =>
  `apiVersion: ${version}\nkind: ${kind}\nmetadata: {name: ${name}, namespace: test}\nspec: ${spec}\n`;
const DENY = policy('hidden-denial', '{action: DENY, rules: [{to: [{operation: {paths: [/denied]}}]}]}');
const JUDGED = `{action: DENY, rules: [{to: [{operation: {paths: [/judged]}}], condition: "request.headers['x-tier'] == 'gold'"}]}`;
const CONDITION = policy('hidden-condition', JUDGED, 'lateral.dev/v1alpha1');
const ALLOW = policy('hidden-allowance', '{rules: [{to: [{operation: {methods: [GET], paths: ["/*"]}}]}]}');

const defaults = (port: number, nobody: number) => `apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec:
  extensionProviders:
  - {name: asked, envoyExtAuthzGrpc: {service: 127.0.0.1, port: ${port}}}
  - {name: away, envoyExtAuthzGrpc: {service: 127.0.0.1, port: ${nobody}}}
`;
const custom = (name: string) =>
  policy(
    `hidden-${name}`,
    `{action: CUSTOM, provider: {name: ${name}}, rules: [{to: [{operation: {paths: [/${name}]}}]}]}`,
  );
const CUSTOM = [custom('asked'), custom('away')].join('---\n');

interface Refused {
  readonly code: string;
  readonly status: number;
  /** What the caller sends. */
  readonly head: string;
  /** NAMESPACE/NAME; undefined: no policy says it, and the reason tells what does. */
  readonly policy: string | undefined;
  readonly reason: RegExp;
}

const head = (method: string, path: string, headers = '') =>
  `${method} ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${headers}\r\n`;

const BY_PROVIDERS: readonly Refused[] = [
  {
    ...{ code: 'authorization_provider_denied', status: 403, head: head('GET', '/asked') },
    ...{
      policy: 'test/hidden-asked',
      reason: /^provider asked, by rule 0 of CUSTOM policy test\/hidden-asked, denied: grpc 7, HTTP 403$/,
    },
  },
  {
    ...{ code: 'authorization_provider_unavailable', status: 403, head: head('GET', '/away') },
    ...{
      policy: 'test/hidden-away',
      reason: /^provider away, by rule 0 of CUSTOM policy test\/hidden-away: .*ECONNREFUSED/,
    },
  },
];

/** What an answer may not tell. */
const SECRETS = /hidden-|rule|allowance|gold|x-tier|issuer\.example|nearest|carts|asked|missing/i;

/** One record, the same everywhere, by the ID of the answer; `lateral explain --sidecar` reads this page. */
async function recordOf(sidecar: InboundSidecar, decisionId: string, lines: number) {
  const page: { decisions: { decisionId: string }[] } = JSON.parse(
    await (await fetch(`http://127.0.0.1:${sidecar.adminPort}/decisions`)).text(),
  );
  const kept = page.decisions.find((one) => one.decisionId === decisionId);
  const line = (await sidecar.log(lines)).find((one) => one.decisionId === decisionId);
  return { kept, line };
}

/** Sends what is refused, and looks at all that is kept of it but the span; the ID leads there. */
async function refuse(t: Test, sidecar: InboundSidecar, wanted: Refused, lines: number): Promise<string> {
  const caller = await sidecar.connectTls('client');
  caller.write(wanted.head);
  const answer = await readAll(caller);
  const [heads = '', body = ''] = answer.split('\r\n\r\n');
  t.equal(Number(answer.split(' ')[1]), wanted.status, wanted.code);
  if (wanted.code === 'authorization_provider_denied') t.equal(body, '', 'the caller learns what the provider says');
  else {
    t.match(JSON.parse(body), { code: wanted.code });
    t.strictSame(Object.keys(JSON.parse(body)), ['title', 'status', 'code'], 'the caller learns the code alone');
  }
  t.notMatch(answer, SECRETS);
  const decisionId = /^lateral-decision: (\w+)/im.exec(heads)?.[1] ?? '';
  const { kept, line } = await recordOf(sidecar, decisionId, lines);
  for (const record of [kept, line]) {
    t.match(record, { decision: 'deny', code: wanted.code, reason: wanted.reason, status: wanted.status }, wanted.code);
    if (wanted.policy !== undefined) t.match(record, { policy: wanted.policy, rule: 0 }, wanted.code);
  }
  return decisionId;
}

t.test(
  'every refusal of authorization and authentication has its record, and tells the caller the code alone',
  async (t) => {
    const app = await startApp(t, (_request, response) => response.end('reached'));
    const key = await signer();
    const audiences = ['orders'];
    const rules = { jwtRules: [{ issuer: ISSUER, jwks: jwks(key), audiences }] };
    const tokens = policy('hidden-tokens', JSON.stringify(rules), 'security.istio.io/v1', 'RequestAuthentication');
    const now = Math.floor(Date.now() / 1_000);
    const claims = { iss: ISSUER, sub: 'ann', aud: 'orders', exp: now + 300 };
    const bearer = (token: string) => head('GET', '/', `authorization: Bearer ${token}\r\n`);
    const ofToken = (code: string, token: string, reason: RegExp): Refused => ({
      ...{ code, status: 401, head: bearer(token), policy: 'test/hidden-tokens', reason },
    });
    const all: readonly Refused[] = [
      {
        ...{ code: 'authorization_denied', status: 403, head: head('GET', '/denied') },
        ...{ policy: 'test/hidden-denial', reason: /^rule 0 of DENY policy test\/hidden-denial matched$/ },
      },
      {
        ...{ code: 'authorization_not_allowed', status: 403, head: head('PUT', '/') },
        ...{
          policy: 'test/hidden-allowance',
          reason: /nearest test\/hidden-allowance rule 0: methods: PUT is not one of GET/,
        },
      },
      {
        ...{ code: 'authorization_condition_failed', status: 403, head: head('GET', '/judged') },
        ...{ policy: 'test/hidden-condition', reason: /^the condition of rule 0 .*could not be judged: / },
      },
      {
        ...{ code: 'ambiguous_path', status: 400, head: head('GET', '/a/%2e%2e/denied') },
        ...{ policy: undefined, reason: /MeshDefaults\.pathNormalization: Refuse/ },
      },
      {
        ...ofToken('jwt_too_many', '', /9 tokens exceed maxTokensOfRequest 8/),
        head: head('GET', '/', 'authorization: Bearer x\r\n'.repeat(MAX_TOKENS_OF_REQUEST + 1)),
      },
      ofToken('jwt_too_large', 'x'.repeat(MAX_TOKEN_CHARACTERS + 1), /maxTokenCharacters 32768/),
      ofToken('jwt_malformed', 'x.y', /./),
      ofToken('jwt_algorithm_refused', compact({ alg: 'none' }, claims), /none/),
      ofToken(
        'jwt_issuer_unknown',
        await key.sign({ ...claims, iss: 'https://other.example' }),
        /https:\/\/other\.example/,
      ),
      ofToken('jwt_expired', await key.sign({ ...claims, exp: now - 300 }), /./),
      ofToken('jwt_not_yet_valid', await key.sign({ ...claims, nbf: now + 300 }), /./),
      ofToken('jwt_audience_refused', await key.sign({ ...claims, aud: 'carts' }), /carts/),
      ofToken('jwt_key_unknown', compact({ alg: 'ES256', kid: 'k2' }, claims), /k2/),
      ofToken('jwt_signature_invalid', compact({ alg: 'ES256', kid: 'k1' }, claims), /./),
    ];
    const text = [DENY, CONDITION, ALLOW, tokens].join('---\n');
    const sink = await openTraceSink();
    t.teardown(() => sink.close());
    const sidecar = await startInbound(t, app.port, 'http', text, { otlpPort: sink.port });
    const told = new Map<string, Refused>();
    const refuseAll = async (refused: readonly Refused[]) => {
      for (const wanted of refused) told.set(await refuse(t, sidecar, wanted, told.size + 1), wanted);
    };
    await refuseAll(all);
    const [nobody = 0] = await freePorts(1);
    const away = JSON.stringify({ jwtRules: [{ issuer: ISSUER, jwksUri: `http://127.0.0.1:${nobody}/jwks` }] });
    const keyless = policy('hidden-tokens', away, 'security.istio.io/v1', 'RequestAuthentication');
    const provider = await startGrpcProvider(t);
    await sidecar.setPolicies([ALLOW, keyless, defaults(provider.port, nobody), CUSTOM].join('---\n'));
    provider.answer = () => denied(403);
    await refuseAll([
      {
        ...{ code: 'issuer_keys_unavailable', status: 503, head: bearer(await key.sign(claims)) },
        ...{ policy: 'test/hidden-tokens', reason: /no keys: .*ECONNREFUSED/ },
      },
      ...BY_PROVIDERS,
    ]);
    await sidecar.setPolicies(DENY);
    const reason = /^no ALLOW policy binds test\/server-1 and MeshDefaults\.authorization\.default is Deny$/;
    const none = { code: 'authorization_default_deny', status: 403, head: head('GET', '/'), policy: undefined, reason };
    await refuseAll([none]);
    await sidecar.running.stop();
    for (const [decisionId, { code, reason, policy: by }] of told) {
      const span = sink.spans.find(({ attributes }) => attributes['lateral.decision_id'] === decisionId);
      const facts = { 'lateral.decision': 'deny', 'lateral.code': code, 'lateral.reason': reason };
      t.match(span?.attributes, by === undefined ? facts : { ...facts, 'lateral.policy': by }, code);
    }
    const seen = new Set([...told.values()].map(({ code }) => code));
    const ofRules = Object.keys(CODES).filter((code) => code.startsWith('authorization_'));
    for (const code of [...ofRules, ...Object.keys(TOKEN_CODES), ...Object.keys(PROVIDER_CODES)]) {
      if (code === 'authorization_provider_unknown') continue; // a folder that has one is not taken: external-rules.test.ts
      t.ok(seen.has(code), `${code} is tested`);
    }
  },
);

t.test('a refused TCP connection has its record too', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('reached'));
  const allow = policy(
    'hidden-allowance',
    '{rules: [{from: [{source: {principals: [cluster.local/ns/test/sa/other]}}]}]}',
  );
  const sidecar = await startInbound(t, app.port, 'tcp', `${allow}---\n${PERMISSIVE.replace('---\n', '')}`);
  const caller = await sidecar.connectTls('client');
  t.equal(await readAll(caller), '', 'nothing is said');
  const [line] = await sidecar.log(1);
  const { kept } = await recordOf(sidecar, String(line?.decisionId), 1);
  for (const record of [line, kept]) {
    t.match(record, {
      ...{ decision: 'deny', code: 'authorization_not_allowed', policy: 'test/hidden-allowance', rule: 0 },
      reason: /nearest test\/hidden-allowance rule 0: principals/,
    });
  }
  const text = await sidecar.metrics();
  t.match(text, 'lateral_authorization_rule_matches_total{policy="test/hidden-allowance",rule="0"} 0');
});

t.test('so has one that cannot be validated', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('reached'));
  const openapi = '{openapi: 3.1.0, info: {title: a, version: "1"}, paths: {}}';
  const schema = policy('hidden-schema', `{openapi: {inline: '${openapi}'}}`, 'lateral.dev/v1alpha1', 'APISchema');
  const spec = '{selector: {matchLabels: {app: server}}, schemaRefs: [hidden-schema], mode: Enforce}';
  const validation = policy('hidden-validation', spec, 'lateral.dev/v1alpha1', 'APIValidationPolicy');
  const anybody = policy('hidden-allowance', '{rules: [{}]}');
  const sidecar = await startInbound(t, app.port, 'tcp', [anybody, schema, validation].join('---\n'));
  t.equal(await readAll(await sidecar.connectTls('client')), '', 'nothing is said');
  const [line] = await sidecar.log(1);
  const { kept } = await recordOf(sidecar, String(line?.decisionId), 1);
  const reason = /^the connection is not HTTP, and APIValidationPolicy test\/hidden-validation binds the workload$/;
  for (const record of [line, kept]) {
    t.match(record, { decision: 'deny', code: 'tcp_not_validated', policy: 'test/hidden-validation', reason });
  }
  t.notMatch(line, { rule: Number }, 'no rule of authorization is named for it');
});
