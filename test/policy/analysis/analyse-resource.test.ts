import t from 'tap';
import { analyseResource, analyseResourceSet } from '#policy/analysis/analyse-resource-set.ts';
import { MAX_COMPARED_RULES } from '#policy/analysis/placed-rules.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

function loaded(resources: readonly object[]) {
  const text = resources.map((resource) => JSON.stringify(resource)).join('\n---\n');
  const { sourced, problems } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  t.same(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  return sourced;
}

const authorization = (name: string, spec: object, namespace = 'shop') => ({
  apiVersion: 'lateral.dev/v1alpha1',
  kind: 'AuthorizationPolicy',
  metadata: { name, namespace },
  spec,
});

const mtls = (name: string, namespace: string) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name, namespace },
  spec: { mtls: { mode: 'STRICT' } },
});

t.test('one resource is judged as it is among all', (t) => {
  const principals = ['cluster.local/ns/shop/sa/nobody', 'cluster.local/ns/shop/sa/web'];
  const rule = { from: [{ source: { principals } }], to: [{ operation: { methods: ['GET', 'PUT'] } }] };
  const same = {
    to: [{ operation: { methods: ['PUT', 'GET'] } }],
    from: [{ source: { principals: principals.toReversed() } }],
  };
  const selector = { matchLabels: { app: 'db' } };
  const all = loaded([
    {
      apiVersion: 'lateral.dev/v1alpha1',
      kind: 'MeshService',
      metadata: { name: 'db', namespace: 'shop' },
      spec: {
        hosts: ['db'],
        ports: [{ port: 5432, protocol: 'tcp' }],
        endpoints: [{ address: '10.0.0.1', port: 5432, serviceAccount: 'web' }],
      },
    },
    authorization('allow', { rules: [rule] }),
    authorization('deny', { action: 'DENY', rules: [same, { to: [{ operation: { paths: ['/admin'] } }] }] }),
    authorization('deny-more', { action: 'DENY', rules: [rule] }),
    authorization('elsewhere', { rules: [rule] }, 'other'),
    authorization('allow-db', { selector, rules: [rule] }),
    authorization('deny-db', { selector, action: 'DENY', rules: [{}] }),
    authorization(
      'mesh-wide',
      { action: 'DENY', rules: [{ to: [{ operation: { paths: ['/x'] } }] }] },
      'lateral-system',
    ),
    mtls('a', 'shop'),
    mtls('b', 'shop'),
    mtls('a', 'other'),
  ]);
  const expected = analyseResourceSet(all, MESH).map(formatProblem).sort();
  const found = all.flatMap((one) =>
    analyseResource(
      one,
      all.filter((other) => other !== one),
      MESH,
    ).map(formatProblem),
  );
  t.same(found.sort(), expected);
  const codes = new Set(expected.map((line) => line.split(' ')[2]));
  t.same([...codes].sort(), [
    'contradiction',
    'http_field_on_tcp_port',
    'no_workload',
    'shadowed_rule',
    'superseded',
    'unknown_principal',
  ]);
  t.equal(expected.filter((line) => line.includes(' contradiction ')).length, 2);
  t.match(expected.join('\n'), 'DENY policy shop/deny rule 0', 'the first that denies is named');
  t.end();
});

t.test('more DENY rules than are compared are told', (t) => {
  const rules = (count: number, first = 0) =>
    Array.from({ length: count }, (_, index) => ({ to: [{ operation: { ports: [String(first + index + 1)] } }] }));
  const half = MAX_COMPARED_RULES / 2;
  const allow = authorization('allow', { rules: rules(1, MAX_COMPARED_RULES) });
  const denials = [half, half].map((count, index) =>
    authorization(`deny-${index}`, { action: 'DENY', rules: rules(count, index * half) }),
  );
  const codesOf = (more: readonly object[]) => {
    const [first, ...others] = loaded([allow, ...denials, ...more]);
    return first === undefined ? [] : analyseResource(first, others, MESH).map(({ code }) => code);
  };
  t.same(codesOf([]), []);
  t.same(codesOf([authorization('deny-2', { action: 'DENY', rules: rules(1, MAX_COMPARED_RULES) })]), [
    'too_many_denials',
  ]);
  t.end();
});
