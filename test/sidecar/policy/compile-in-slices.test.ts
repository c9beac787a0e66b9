import t from 'tap';
import { loadResources } from '#policy/load-resources.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import { PolicyInForce } from '#sidecar/policy/policy-in-force.ts';
import { benchPolicies } from '../../../scripts/bench/authorization-rules.ts';
import { turnsMeanwhile } from '../../support/turns-meanwhile.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { namespace: 'shop', name: 'orders', serviceAccount: 'orders', labels: {} };
const RULES = 3_000;

t.test('requests have their turns while thousands of rules are compiled', async (t) => {
  const text = benchPolicies(RULES)
    .map((policy) => JSON.stringify(policy))
    .join('\n---\n');
  const { resources } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  const snapshot = selectSnapshot(resources, WORKLOAD, MESH);
  const inForce = new PolicyInForce(WORKLOAD, MESH, async () => []);
  const { result: prepared, others } = await turnsMeanwhile(() => inForce.prepare(snapshot));
  t.ok(others >= 5, `${others} turns of others`);
  prepared.commit();
  t.equal(inForce.current.authorizer.rules.length, RULES);
});
