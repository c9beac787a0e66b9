import t from 'tap';
import { defaults, line, policy, refused, replay } from './replay-lines.ts';

const READS = policy('reads', '{rules: [{to: [{operation: {methods: [GET]}}]}]}');
const NO_ADMIN = policy('no-admin', '{action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}');

interface Case {
  readonly title: string;
  readonly line: string;
  readonly policies: readonly string[];
  /** `undecidable` with what is missing, `passedOver` with why, or the comparison. */
  readonly wanted: string;
}

const withHeader = (values: string) =>
  policy('by-team', `{rules: [{when: [{key: "request.headers[x-team]", ${values}}]}]}`);
const ofTenant = policy('of-tenant', '{rules: [{when: [{key: "request.auth.claims[realm][tenant]", values: [one]}]}]}');
const byCondition = (condition: string) =>
  policy('by-condition', `{rules: [{condition: ${JSON.stringify(condition)}}]}`);
const remote = policy('remote', '{rules: [{from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]}]}');
const tcp = {
  method: null,
  host: null,
  path: null,
  status: 0,
  stages: { identify: 0, authorize: 0, connect: 0, join: 0 },
};
const noTenant = { claims: { sub: 'ann' }, claimPaths: [['realm', 'tenant'], ['sub']] };

const CASES: readonly Case[] = [
  { title: 'the same rule', line: line(), policies: [READS], wanted: 'same' },
  { title: 'the same refusal', line: refused({ method: 'PUT' }), policies: [READS], wanted: 'same' },
  { title: 'no rule any more', line: line({ method: 'PUT' }), policies: [READS], wanted: 'newlyRefused' },
  { title: 'a rule at last', line: refused(), policies: [READS], wanted: 'newlyAllowed' },
  { title: 'a rule of another number', line: line({ rule: 1 }), policies: [READS], wanted: 'otherRule' },
  { title: 'refused by another policy', line: refused({ path: '/admin' }), policies: [NO_ADMIN], wanted: 'otherRule' },
  {
    title: 'a selector of other workloads',
    line: line(),
    policies: [READS.replace('rules', 'selector: {matchLabels: {app: web}}, rules')],
    wanted: 'newlyRefused',
  },
  {
    title: 'a selector of its labels',
    line: line(),
    policies: [READS.replace('rules', 'selector: {matchLabels: {app: orders}}, rules')],
    wanted: 'same',
  },
  {
    title: 'a caller without identity',
    line: line({ source: null }),
    policies: [policy('reads', '{rules: [{from: [{source: {principals: ["*"]}}]}]}')],
    wanted: 'newlyRefused',
  },
  {
    title: 'another port',
    line: line({ port: 9 }),
    policies: [policy('reads', '{rules: [{to: [{operation: {ports: ["8080"]}}]}]}')],
    wanted: 'newlyRefused',
  },

  // modes
  {
    title: 'the whole mesh in audit',
    line: refused({ method: 'PUT' }),
    policies: [READS, defaults('{mode: Audit}')],
    wanted: 'newlyAllowed',
  },
  {
    title: 'audit, recorded in audit',
    line: line({ decision: 'audit', code: 'authorization_not_allowed', method: 'PUT' }),
    policies: [READS, defaults('{mode: Audit}')],
    wanted: 'same',
  },
  {
    title: 'enforced, recorded in audit',
    line: line({ decision: 'audit', code: 'authorization_not_allowed', method: 'PUT' }),
    policies: [READS],
    wanted: 'newlyRefused',
  },
  {
    title: 'a policy on trial refuses nothing',
    line: line({ path: '/admin' }),
    policies: [READS, NO_ADMIN.replace('action', 'mode: Audit, action')],
    wanted: 'otherRule',
  },
  {
    title: 'a policy that was on trial is enforced',
    line: line({ decision: 'audit', code: 'authorization_denied', policy: 'shop/no-admin', path: '/admin' }),
    policies: [READS, NO_ADMIN],
    wanted: 'newlyRefused',
  },
  {
    title: 'a policy that is on trial still',
    line: line({ decision: 'audit', code: 'authorization_denied', policy: 'shop/no-admin', path: '/admin' }),
    policies: [READS, NO_ADMIN.replace('action', 'mode: Audit, action')],
    wanted: 'same',
  },
  {
    title: 'a token that was no good, in audit still',
    line: line({ decision: 'audit', code: 'jwt_expired' }, { claims: null }),
    policies: [READS, defaults('{mode: Audit}')],
    wanted: 'same',
  },
  {
    title: 'a token that was no good, enforced',
    line: line({ decision: 'audit', code: 'jwt_expired' }, { claims: null }),
    policies: [READS],
    wanted: 'undecidable: token, which was no good',
  },
  {
    title: 'refused by validation behind authorization',
    line: line({ decision: 'deny', code: 'invalid_body', policy: 'shop/validation', rule: undefined }),
    policies: [READS],
    wanted: 'same',
  },
  {
    title: 'refused by authorization before validation',
    line: line({ decision: 'deny', code: 'invalid_body', method: 'PUT' }),
    policies: [READS],
    wanted: 'newlyRefused',
  },
  { title: 'an app that was away', line: line({ code: 'upstream_unavailable' }), policies: [READS], wanted: 'same' },

  // headers
  {
    title: 'a header that was recorded',
    line: line({ policy: 'shop/by-team' }, { headers: { 'x-team': 'red' } }),
    policies: [withHeader('values: [red]')],
    wanted: 'same',
  },
  {
    title: 'a header that was not there',
    line: line({}, { headers: { 'x-team': null } }),
    policies: [withHeader('values: [red]')],
    wanted: 'newlyRefused',
  },
  {
    title: 'a header that nobody looked at',
    line: line({}, { headers: { other: 'red' } }),
    policies: [withHeader('values: [red]')],
    wanted: 'undecidable: header x-team',
  },
  {
    title: 'a header that nobody looked at, and that does not matter',
    line: line(),
    policies: [READS, withHeader('values: [red]')],
    wanted: 'same',
  },
  {
    title: 'a header that nobody looked at, of a rule that another clause keeps from matching',
    line: line({ method: 'PUT' }),
    policies: [
      policy(
        'a',
        '{rules: [{to: [{operation: {methods: [GET]}}], when: [{key: "request.headers[x-team]", values: [red]}]}]}',
      ),
    ],
    wanted: 'newlyRefused',
  },
  {
    title: 'a DENY rule by an unknown header before one that certainly matches',
    line: line({ path: '/admin' }),
    policies: [
      READS,
      policy('a', '{action: DENY, rules: [{when: [{key: "request.headers[x-team]", values: [red]}]}]}'),
      NO_ADMIN,
    ],
    wanted: 'newlyRefused',
  },
  {
    title: 'a DENY rule by an unknown header',
    line: line(),
    policies: [
      READS,
      policy('a', '{action: DENY, rules: [{when: [{key: "request.headers[x-team]", values: [red]}]}]}'),
    ],
    wanted: 'undecidable: header x-team',
  },
  {
    title: 'a header of which only its being there matters, hashed',
    line: line({ policy: 'shop/by-team' }, { headers: { 'x-team': 'hmac:0123456789abcdef' } }),
    policies: [withHeader('values: ["*"]')],
    wanted: 'same',
  },
  {
    title: 'a header of which only its absence matters, hashed',
    line: line({}, { headers: { 'x-team': 'hmac:0123456789abcdef' } }),
    policies: [withHeader('notValues: ["*"]')],
    wanted: 'newlyRefused',
  },
  {
    title: 'the value of a header that is hashed',
    line: line({}, { headers: { 'x-team': 'hmac:0123456789abcdef' } }),
    policies: [withHeader('values: [red]')],
    wanted: 'undecidable: header x-team',
  },
  {
    title: 'the host, which is always recorded',
    line: line({ policy: 'shop/by-host' }),
    policies: [policy('by-host', '{rules: [{when: [{key: "request.headers[host]", values: [orders.shop]}]}]}')],
    wanted: 'same',
  },
  {
    title: 'a host that was cut',
    line: line({ host: `${'h'.repeat(4_096)}…` }),
    policies: [policy('by-host', '{rules: [{to: [{operation: {hosts: [orders.shop]}}]}]}')],
    wanted: 'undecidable: host',
  },

  {
    title: 'the host as a header that a condition reads, and nobody looked at',
    line: line(),
    policies: [byCondition("request.headers['host'] == 'orders.shop'")],
    wanted: 'undecidable: header host',
  },

  // claims
  {
    title: 'a claim that was recorded',
    line: line(
      { policy: 'shop/of-tenant' },
      { claims: { realm: { tenant: 'one' } }, claimPaths: [['realm', 'tenant']] },
    ),
    policies: [ofTenant],
    wanted: 'same',
  },
  {
    title: 'a claim that was looked for and not there',
    line: line({}, noTenant),
    policies: [ofTenant],
    wanted: 'newlyRefused',
  },
  {
    title: 'another claim of the same object',
    line: line({}, { claims: { realm: { name: 'x' } }, claimPaths: [['realm', 'name']] }),
    policies: [ofTenant],
    wanted: 'undecidable: claim realm.tenant',
  },
  {
    title: 'a claim within an object that was recorded',
    line: line({ policy: 'shop/of-tenant' }, { claims: { realm: { tenant: 'one' } }, claimPaths: [['realm']] }),
    policies: [ofTenant],
    wanted: 'same',
  },
  { title: 'no valid token', line: line({}, { claims: null }), policies: [ofTenant], wanted: 'newlyRefused' },
  {
    title: 'claims that nobody looked at',
    line: line(),
    policies: [ofTenant],
    wanted: 'undecidable: claim realm.tenant',
  },
  {
    title: 'a claim that is hashed',
    line: line({}, { claims: { realm: 'hmac:0123456789abcdef' }, claimPaths: [['realm']] }),
    policies: [ofTenant],
    wanted: 'undecidable: claim realm.tenant',
  },
  {
    title: 'an issuer and subject that nobody looked at',
    line: line({}, noTenant),
    policies: [policy('a', '{rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]}')],
    wanted: 'undecidable: claim iss',
  },

  // conditions
  {
    title: 'a condition about what is recorded',
    line: line({ policy: 'shop/by-condition' }),
    policies: [byCondition("request.path.startsWith('/orders')")],
    wanted: 'same',
  },
  {
    title: 'a condition about the query',
    line: line({ path: '/orders/1?page=2', policy: 'shop/by-condition' }),
    policies: [byCondition("request.query.page == '2'")],
    wanted: 'same',
  },
  {
    title: 'a condition about a query that was redacted',
    line: line({ path: '/orders/1?token=[redacted]' }),
    policies: [byCondition("request.query.token == 'a'")],
    wanted: 'undecidable: query',
  },
  {
    title: 'a redacted query that no condition reads',
    line: line({ path: '/orders/1?token=[redacted]' }),
    policies: [READS],
    wanted: 'same',
  },
  {
    title: 'a condition about an unknown claim',
    line: line(),
    policies: [byCondition("jwt.tenant == 'one'")],
    wanted: 'undecidable: claim tenant',
  },
  {
    title: 'a condition about an unknown claim, refused either way',
    line: refused({ method: 'PUT' }),
    policies: [policy('a', `{rules: [{to: [{operation: {methods: [GET]}}], condition: "jwt.tenant == 'one'"}]}`)],
    wanted: 'same',
  },
  {
    title: 'a condition that cannot be judged',
    line: line({}, noTenant),
    policies: [
      byCondition("jwt.sub.size() > 100 || jwt.realm == 'a'").replace("|| jwt.realm == 'a'", '|| jwt.sub == 7'),
    ],
    wanted: 'newlyRefused',
  },

  {
    title: 'a DENY rule by an unknown claim that another clause keeps from matching',
    line: line(),
    policies: [
      READS,
      policy('a', `{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}], condition: "jwt.tenant == 'one'"}]}`),
    ],
    wanted: 'same',
  },
  {
    title: 'a DENY rule by an unknown claim',
    line: line(),
    policies: [READS, policy('a', `{action: DENY, rules: [{condition: "jwt.tenant == 'one'"}]}`)],
    wanted: 'undecidable: claim tenant',
  },
  {
    title: 'a DENY rule by an unknown claim before one that certainly matches',
    line: line({ path: '/admin' }),
    policies: [READS, policy('a', `{action: DENY, rules: [{condition: "jwt.tenant == 'one'"}]}`), NO_ADMIN],
    wanted: 'newlyRefused',
  },
  {
    title: 'a DENY rule whose condition certainly cannot be judged',
    line: line({}, { claims: null }),
    policies: [READS, policy('a', `{action: DENY, rules: [{condition: "jwt.tenant == 'one'"}]}`)],
    wanted: 'newlyRefused',
  },
  {
    title: 'the same, where it is recorded so',
    line: refused({ code: 'authorization_condition_failed', policy: 'shop/a' }, { claims: null }),
    policies: [READS, policy('a', `{action: DENY, rules: [{condition: "jwt.tenant == 'one'"}]}`)],
    wanted: 'same',
  },

  // connections
  {
    title: 'a server name',
    line: line({ policy: 'shop/a' }, { sni: 'orders.example' }),
    policies: [policy('a', '{rules: [{when: [{key: connection.sni, values: [orders.example]}]}]}')],
    wanted: 'same',
  },
  {
    title: 'no server name',
    line: line(),
    policies: [policy('a', '{rules: [{when: [{key: connection.sni, values: [orders.example]}]}]}')],
    wanted: 'newlyRefused',
  },
  {
    title: 'a server name that an older version did not record',
    line: line({}, { workload: undefined }),
    policies: [policy('a', '{rules: [{when: [{key: connection.sni, values: [orders.example]}]}]}')],
    wanted: 'undecidable: sni',
  },
  {
    title: 'the destination',
    line: line({ policy: 'shop/a' }, { destinationIp: '10.1.0.1' }),
    policies: [policy('a', '{rules: [{when: [{key: destination.ip, values: [10.1.0.0/16]}]}]}')],
    wanted: 'same',
  },
  {
    title: 'the peer, where no proxy is trusted',
    line: line({ sourceIp: '203.0.113.5', policy: 'shop/remote' }),
    policies: [remote],
    wanted: 'same',
  },
  {
    title: 'the client behind the proxies of then and now',
    line: line({ policy: 'shop/remote' }, { remoteIp: '203.0.113.5', trustedProxies: 1 }),
    policies: [remote, defaults('{numTrustedProxies: 1}')],
    wanted: 'same',
  },
  {
    title: 'the client behind other proxies than then',
    line: line({}, { remoteIp: '203.0.113.5', trustedProxies: 1 }),
    policies: [remote, defaults('{numTrustedProxies: 2}')],
    wanted: 'undecidable: remoteIp',
  },
  {
    title: 'the client behind other proxies, by a header that was recorded',
    line: line({ policy: 'shop/remote' }, { headers: { 'x-forwarded-for': '203.0.113.5, 192.0.2.1' } }),
    policies: [remote, defaults('{numTrustedProxies: 2}')],
    wanted: 'same',
  },
  {
    title: 'a TCP connection',
    line: line({ ...tcp, policy: 'shop/a' }),
    policies: [policy('a', '{rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]}')],
    wanted: 'same',
  },
  {
    title: 'a TCP connection that only a rule about HTTP would allow',
    line: line(tcp),
    policies: [READS],
    wanted: 'newlyRefused',
  },
  {
    title: 'a TCP connection and a rule by a header',
    line: line(tcp),
    policies: [withHeader('values: [red]')],
    wanted: 'newlyRefused',
  },

  // paths
  {
    title: 'a path that was cut',
    line: line({ path: `/${'a'.repeat(4_095)}…` }),
    policies: [NO_ADMIN, policy('reads', '{rules: [{}]}')],
    wanted: 'undecidable: path',
  },
  {
    title: 'a path that was cut, where it does not matter',
    line: line({ path: `/${'a'.repeat(4_095)}…` }),
    policies: [READS],
    wanted: 'same',
  },
  {
    title: 'a path that would be ambiguous',
    line: line({ path: '/a//b' }, { pathNormalization: 'NONE' }),
    policies: [READS],
    wanted: 'newlyRefused',
  },
  {
    title: 'a path that was normalized in another way',
    line: line({}, { pathNormalization: 'MERGE_SLASHES' }),
    policies: [NO_ADMIN],
    wanted: 'newlyRefused',
  },
  {
    title: 'a path that was normalized in another way, where it matters',
    line: line({}, { pathNormalization: 'MERGE_SLASHES' }),
    policies: [policy('a', '{rules: [{to: [{operation: {paths: [/orders/*]}}]}]}')],
    wanted: 'undecidable: path',
  },

  // what is no decision of authorization
  {
    title: 'a call of the other direction',
    line: line({ direction: 'outbound' }),
    policies: [READS],
    wanted: 'passedOver: outbound',
  },
  {
    title: 'refused before',
    line: refused({ code: 'jwt_expired', stages: { accept: 0, identify: 0, route: 0, authenticate: 0 } }),
    policies: [READS],
    wanted: 'passedOver: before_authorization',
  },
  {
    title: 'a refused connection',
    line: refused({ code: 'no_client_certificate', stages: {}, inputs: {} }),
    policies: [READS],
    wanted: 'passedOver: before_authorization',
  },
  {
    title: 'a fault in authorization itself',
    line: refused({ code: 'internal_error' }),
    policies: [READS],
    wanted: 'passedOver: before_authorization',
  },
  {
    title: 'an event of the program',
    line: '{"event":"ready","version":"1"}',
    policies: [READS],
    wanted: 'passedOver: foreign',
  },
  {
    title: 'an identity that is none',
    line: line({ source: 'spiffe://x' }),
    policies: [READS],
    wanted: 'passedOver: foreign',
  },
  { title: 'JSON that is no object', line: '[1]', policies: [READS], wanted: 'passedOver: foreign' },
  { title: 'no JSON', line: '{"time":"2026', policies: [READS], wanted: 'passedOver: malformed' },
  {
    title: 'another workload',
    line: line({ destination: 'spiffe://cluster.local/ns/bank/sa/orders' }),
    policies: [READS],
    wanted: 'passedOver: other_workload',
  },
];

for (const { title, line: recorded, policies, wanted } of CASES) {
  t.test(title, async (t) => {
    const { report, code } = await replay(t, [recorded], policies, '--to', 'shop/orders', '--label', 'app=orders');
    const { same, newlyRefused, newlyAllowed, otherRule, undecidable, missing, passedOver } = report;
    const found = Object.entries({ same, newlyRefused, newlyAllowed, otherRule }).flatMap(([kind, count]) =>
      count === 1 ? [kind] : [],
    );
    if (undecidable === 1) found.push(`undecidable: ${missing.map(({ input }) => input).join(', ')}`);
    for (const reason of Object.keys(passedOver)) found.push(`passedOver: ${reason}`);
    t.strictSame(found, [wanted]);
    t.equal(code, /^newly|foreign|malformed/.test(wanted) ? 1 : 0);
    t.equal(report.lines, 1);
  });
}
