import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import t from 'tap';
import type { Snapshot } from '#policy/resource-set.ts';
import { StandaloneSource } from '#sidecar/standalone/standalone-source.ts';
import { eventually, MESH, ORDERS } from '../../control-plane/control-plane-fixture.ts';
import { githubDescription } from '../../support/github-description.ts';

const RESOURCES = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: api, namespace: shop}
spec: {openapi: {file: api.json}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: shop}
spec: {schemaRefs: [api]}
`;
const SMALL = JSON.stringify({ openapi: '3.1.0', info: { title: 't', version: '1' }, paths: {} });

t.test("GitHub's description comes into a folder under traffic, and nobody waits while it is read", async (t) => {
  const folder = t.testdir({ 'a.yaml': RESOURCES, 'api.json': SMALL });
  const description = await githubDescription();
  const applied: Snapshot[] = [];
  const problems: string[] = [];
  const source = new StandaloneSource(
    folder,
    ORDERS,
    MESH,
    (problem) => problems.push(problem),
    (reasons) => problems.push(...reasons),
  );
  t.teardown(() => source.close());
  await source.start(async (snapshot) => {
    applied.push(snapshot);
  });
  t.equal(applied.length, 1);
  writeFileSync(join(folder, 'api.json'), description);
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  await eventually('it is in force', () => (applied.at(-1)?.resources[0]?.document.length ?? 0) > 100_000, 60_000);
  delays.disable();
  // Some 10 ms; read here it would be more than a second.
  t.ok(delays.max < 150e6, `${delays.max / 1e6} ms at most`);
  t.comment(`at most ${(delays.max / 1e6).toFixed(1)} ms`);
  t.same(
    problems.filter((problem) => problem.includes(' error ')),
    [],
  );

  const versions = applied.length;
  writeFileSync(join(folder, 'api.json'), description.slice(0, -100));
  await eventually('the last good one stays', () => problems.some((problem) => problem.includes(' error ')), 60_000);
  t.equal(applied.length, versions);
});
