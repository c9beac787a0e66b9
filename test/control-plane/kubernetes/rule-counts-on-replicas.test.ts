import t from 'tap';
import { loopbackPort } from '#cli/operations/dial.ts';
import { getPage } from '#cli/operations/get-page.ts';
import { mergeRules } from '#cli/operations/merge-rules.ts';
import { readRulesPage } from '#cli/operations/rule-facts.ts';
import { RULE_CONFIG_MAPS } from '#control-plane/kubernetes/rules/shared-rule-store.ts';
import type { RunningControlPlane } from '#control-plane/start-control-plane.ts';
import { RuleTallies } from '#policy/authorization/rule-tallies.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { ControlPlaneConnection } from '#sidecar/control/connect-control-plane.ts';
import { skip as noHelm } from '../../helm/helm-template.ts';
import { noApiServer } from '../../support/api-server.ts';
import { eventually } from '../control-plane-fixture.ts';
import { MeshOnApiServer } from './mesh-on-api-server.ts';

/** A sidecar tells of rules every ten seconds; two cores may be busy. */
const WITHIN_MS = 40_000;
const POLICY = `
apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  rules: [{to: [{operation: {paths: [/a]}}]}, {to: [{operation: {paths: [/b]}}]}]
`;

t.setTimeout(200_000);

t.test(
  'by the rights of the chart replicas count together, over a rollout of all of them',
  { skip: noApiServer ?? noHelm, timeout: 190_000 },
  async (t) => {
    const mesh = new MeshOnApiServer(t.testdir());
    t.teardown(() => mesh.stop());
    await mesh.start();
    await mesh.restrict();
    await mesh.api.apply(
      `{apiVersion: v1, kind: Secret, metadata: {name: lateral-former-authorities, namespace: lateral-system}}`,
    );
    await mesh.api.apply(POLICY);
    for (const index of [0, 1]) await mesh.runPod(`orders-${index}`, `10.244.0.${10 + index}`);
    const start = () => mesh.startReplica('127.0.0.1', { statusPort: 0 });
    const factsOf = async ({ statusPort = 0 }: RunningControlPlane) =>
      readRulesPage(await getPage(loopbackPort(statusPort), '/rules'));
    const together = async (...replicas: readonly RunningControlPlane[]) =>
      mergeRules(await Promise.all(replicas.map(factsOf)));
    const countOf = async (...replicas: readonly RunningControlPlane[]) =>
      (await together(...replicas)).rules.map(({ matches }) => matches).join();

    const first = await start();
    for (const name of RULE_CONFIG_MAPS) {
      const path = `/api/v1/namespaces/lateral-system/configmaps/${name}`;
      const configMap = await mesh.api.client.request(path);
      t.ok(isRecord(configMap) && configMap.binaryData, 'since when it is observed is stored before anybody is served');
    }
    const { observedSince } = await factsOf(first);
    const second = await start();
    t.equal((await factsOf(second)).observedSince, observedSince);
    const { rules } = await factsOf(first);
    const tell = (connection: ControlPlaneConnection, matches: number) => {
      const tallies = new RuleTallies();
      const tally = tallies.tallyOf('shop/orders', 0, rules[0]?.key ?? '');
      tallies.putInForce([{ tally, index: 0 }]);
      tally.matches = matches;
      connection.observer.countRules(tallies);
    };
    const one = await mesh.connect(first, 'orders-0');
    tell(one, 3);
    t.strictSame((await together(first, second)).unheard, ['shop/orders-1'], 'its pod runs');
    const other = await mesh.connect(second, 'orders-1');
    tell(other, 4);
    await eventually('both are counted once', async () => (await countOf(first, second)) === '7,0', WITHIN_MS);
    await eventually('all are heard', async () => (await together(first, second)).unheard.length === 0, WITHIN_MS);
    t.equal(await countOf(second), '7,0', 'either knows it all');

    const third = await start();
    for (const part of [one, first, other, second]) await part.close();
    t.equal(await countOf(third), '7,0');
    t.equal((await factsOf(third)).observedSince, observedSince);
    t.equal(mesh.events.filter(({ event }) => event === 'rule_matches_not_stored').length, 0);
  },
);
