import t from 'tap';
import { analyseResource } from '#policy/analysis/analyse-resource-set.ts';
import { ScopeMemory } from '#policy/analysis/rule-scope.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const METHODS = ['GET', 'PUT', 'POST'];

/** A policy of this name whose content is of its `version`. */
function policy(name: number, version: number, annotations = {}) {
  const action = name % 3 === 0 ? 'DENY' : 'ALLOW';
  const rules = [0, 1, 2].map((rule) => ({
    to: [
      { operation: { methods: [METHODS[(name + rule * version) % 3]], paths: [`/${(name * version) % 5}/*`, '/x'] } },
    ],
  }));
  const metadata = { name: `p${name}`, namespace: name % 5 === 0 ? 'lateral-system' : 'shop', annotations };
  const text = JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata,
    spec: { action, rules },
  });
  const [sourced] = loadResources([{ path: `p${name}.yaml`, text }], () => undefined, MESH).sourced;
  if (sourced === undefined) throw new Error('not read');
  return sourced;
}

t.test('what is remembered of others changes nothing of what is said, whatever comes and goes between', (t) => {
  const memory = new ScopeMemory();
  const inForce = new Map(Array.from({ length: 12 }, (_, name) => [name, policy(name, 1)]));
  let found = 0;
  for (let step = 2; step < 120; step++) {
    const name = (step * 7) % 12;
    const judged = policy(name, step);
    const others = [...inForce].flatMap(([other, one]) => (other === name ? [] : [one]));
    // which of several rules covers another may be told differently
    const said = (given?: ScopeMemory) =>
      analyseResource(judged, others, MESH, undefined, given).map((one) =>
        formatProblem(one).replace(/:.*? (rule \d+).*/, ' $1'),
      );
    const plain = said();
    found += plain.length;
    t.strictSame(said(memory), plain);
    if (step % 5 === 0) inForce.delete(name);
    else inForce.set(name, judged);
  }
  t.ok(found > 50, `${found} doubts`);
  t.end();
});

t.test('a policy on trial makes no rule superfluous, and none makes its own so', (t) => {
  const parsed = (name: string, annotations: object) => {
    const metadata = { name, namespace: 'shop', annotations };
    const spec = { rules: [{ to: [{ operation: { paths: ['/x'] } }] }] };
    const text = JSON.stringify({ apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec });
    return loadResources([{ path: `${name}.yaml`, text }], () => undefined, MESH).sourced;
  };
  const codes = (first: object, second: object) => {
    const [one] = parsed('b', second);
    return one === undefined ? [] : analyseResource(one, parsed('a', first), MESH).map(({ code }) => code);
  };
  const trial = { 'istio.io/dry-run': 'true' };
  t.strictSame(codes({}, {}), ['shadowed_rule']);
  t.strictSame(codes(trial, {}), []);
  t.strictSame(codes({}, trial), []);
  t.end();
});
