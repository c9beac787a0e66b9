import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import t from 'tap';
import { FolderReader } from '#files/folder-reader.ts';
import { githubDescription } from '../support/github-description.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const RESOURCES = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: github, namespace: shop}
spec: {openapi: {file: github.json}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: github, namespace: shop}
spec: {schemaRefs: [github], overrides: [{operationId: repos/get, request: {body: Skip}}]}
`;

t.test('a description of 13 MB is read, checked and reduced while others have their turns', async (t) => {
  const folder = t.testdir({ 'a.yaml': RESOURCES });
  writeFileSync(join(folder, 'github.json'), await githubDescription());
  const reader = new FolderReader(folder, MESH);
  t.teardown(() => reader.close());
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const { resources, problems } = await reader.read();
  delays.disable();
  t.same(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  t.same(
    resources.map(({ key }) => key),
    ['APISchema/shop/github', 'APIValidationPolicy/shop/github'],
  );
  t.ok((resources[0]?.document.length ?? 0) < 256 * 1024, 'what travels is reduced, and compressed');
  t.ok(delays.max < 100e6, `${delays.max / 1e6} ms at most`);
  t.comment(`event loop delays: 99 % ${delays.percentile(99) / 1e6} ms, at most ${delays.max / 1e6} ms`);

  rmSync(join(folder, 'github.json'));
  t.match((await reader.read()).problems, [{ line: 4, code: 'invalid_value', severity: 'error' }], 'read here again');
});

t.test('what dies while it reads is an error, and the next reading has a thread of its own', async (t) => {
  const folder = t.testdir({ 'a.yaml': RESOURCES });
  writeFileSync(join(folder, 'github.json'), await githubDescription());
  const reader = new FolderReader(folder, MESH);
  t.teardown(() => reader.close());
  const reading = reader.read();
  setTimeout(() => void reader.close(), 100);
  await t.rejects(reading, /reading .* failed: its thread ended/);
  t.equal((await reader.read()).resources.length, 2);
});
