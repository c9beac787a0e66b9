import t from 'tap';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import { ruleKeys } from '#policy/authorization/rule-keys.ts';
import { RuleTallies } from '#policy/authorization/rule-tallies.ts';
import { compileConditions } from '#policy/condition/compile-condition.ts';
import { loadResources } from '#policy/load-resources.ts';
import type { AuthorizationRequest } from '#policy/workload-policy.ts';

const MESH = { trustDomain: 'test', rootNamespace: 'lateral-system' };
const WORKLOAD = { namespace: 'test', name: 'app', labels: {} };

function policiesOf(rules: readonly object[], spec: object = {}) {
  const metadata = { name: 'paths', namespace: 'test' };
  const policy = {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata,
    spec: { ...spec, rules },
  };
  const { sourced } = loadResources([{ path: 'a.yaml', text: JSON.stringify(policy) }], () => undefined, MESH);
  return sourced.flatMap(({ any }) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
}

const keysOf = (rules: readonly object[]) => policiesOf(rules).flatMap((policy) => [...ruleKeys(policy)]);
const path = (one: string) => ({ to: [{ operation: { paths: [one] } }] });
const request = (asked: string): AuthorizationRequest => ({
  ...{ source: null, method: 'GET', path: asked, host: 'a', headers: [], port: 80, sourceIp: '10.0.0.1' },
  ...{ remoteIp: '10.0.0.1', sni: undefined, claims: undefined },
});

/** Puts the rules in force; returns what decides by them. */
function putInForce(tallies: RuleTallies, rules: readonly object[], spec?: object) {
  const defaults = { authorizationDefault: 'Deny' } as const;
  const compiled = compileAuthorizer(policiesOf(rules, spec), WORKLOAD, MESH, defaults, undefined, new Map(), tallies);
  tallies.putInForce(compiled.rules);
  return (asked: string) => compiled.decide(request(asked));
}

t.test('matches are counted by rule, and told once', (t) => {
  const tallies = new RuleTallies();
  const decide = putInForce(tallies, [path('/a'), path('/b')]);
  for (const asked of ['/a', '/b', '/b', '/c']) decide(asked);
  t.match(tallies.take(10), [
    { policy: 'test/paths', rule: 0, matches: 1 },
    { policy: 'test/paths', rule: 1, matches: 2 },
  ]);
  t.strictSame(tallies.take(10), []);
  decide('/b');
  t.match(tallies.take(10), [{ rule: 1, matches: 1 }]);
  t.strictSame(
    tallies.inForce.map(({ matches }) => matches),
    [1, 3],
  );
  t.end();
});

t.test(
  'a rule of the same content goes on in another version and place, also for requests under the earlier one',
  (t) => {
    const tallies = new RuleTallies();
    const before = putInForce(tallies, [path('/a'), path('/b')]);
    before('/b');
    before('/a');
    const after = putInForce(tallies, [path('/new'), path('/b')]);
    before('/b');
    after('/b');
    t.strictSame(
      tallies.inForce.map(({ rule, matches }) => [rule, matches]),
      [
        [0, 0],
        [1, 3],
      ],
    );
    const told = new Map(tallies.take(10).map(({ rule, key, matches }) => [key, [rule, matches]]));
    const [a = '', b = ''] = keysOf([path('/a'), path('/b')]);
    t.strictSame(told.get(b), [1, 3]);
    t.strictSame(told.get(a), [0, 1], 'what is gone is told before it is forgotten');
    t.equal(tallies.hasUntold, false);
    putInForce(tallies, [path('/b')], { action: 'DENY' });
    t.strictSame(
      tallies.inForce.map(({ matches }) => matches),
      [0],
      'it means something else',
    );
    t.end();
  },
);

t.test('a rule that refuses since its condition cannot be judged has decided', (t) => {
  const metadata = { name: 'judged', namespace: 'test' };
  const condition = "request.headers['absent'] == 'x'";
  const spec = { action: 'DENY', rules: [{ condition }] };
  const text = JSON.stringify({ apiVersion: 'lateral.dev/v1alpha1', kind: 'AuthorizationPolicy', metadata, spec });
  const { sourced } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  const policies = sourced.flatMap(({ any }) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
  const tallies = new RuleTallies();
  const defaults = { authorizationDefault: 'Deny' } as const;
  const conditions = compileConditions([condition]);
  const compiled = compileAuthorizer(policies, WORKLOAD, MESH, defaults, undefined, conditions, tallies);
  tallies.putInForce(compiled.rules);
  t.match(compiled.decide(request('/')), { code: 'authorization_condition_failed' });
  t.match(tallies.take(10), [{ policy: 'test/judged', rule: 0, matches: 1 }]);
  t.end();
});

t.test('a report is bounded, and those behind it come next', (t) => {
  const tallies = new RuleTallies();
  const paths = Array.from({ length: 5 }, (_, index) => `/${index}`);
  const decide = putInForce(tallies, paths.map(path));
  for (const asked of paths) decide(asked);
  t.strictSame(
    tallies.take(3).map(({ rule }) => rule),
    [0, 1, 2],
  );
  for (const asked of paths) decide(asked);
  t.strictSame(
    tallies.take(3).map(({ rule, matches }) => [rule, matches]),
    [
      [3, 2],
      [4, 2],
      [0, 1],
    ],
  );
  t.end();
});

t.test('equal rules of one policy are told apart', (t) => {
  const keys = keysOf([path('/a'), path('/a')]);
  t.equal(new Set(keys).size, 2);
  t.end();
});
