import { monitorEventLoopDelay } from 'node:perf_hooks';
import t, { type Test } from 'tap';
import { DocumentReader, type DocumentReaderOptions } from '#control-plane/documents/document-reader.ts';
import { judgeObject } from '#control-plane/kubernetes/resources/judge-object.ts';
import { MAX_SCHEMA_DOCUMENT_BYTES } from '#policy/resource/kinds/api-schema.ts';
import { documentTextOf, travellingDescriptorSet, travellingDocument } from '#policy/validation/travelling-document.ts';
import { githubDescription } from '../../support/github-description.ts';
import { SHOP_PROTO, shopProto } from '../../support/shop-proto.ts';
import { TestCluster } from '../kubernetes/cluster-fixture.ts';

/** What a ConfigMap holds at most, about. */
const PART_LENGTH = 1_000_000;
/** Longer than any document that is read where it is judged. */
const LONG = 10_000;

const DOCUMENT = `openapi: 3.1.0
info: {title: t, version: '1', description: ${'x'.repeat(LONG)}}
paths:
  /orders: {get: {operationId: list, responses: {}}}
`;

function clusterWith(t: Test, values: { [name: string]: string }, options: Partial<DocumentReaderOptions> = {}) {
  const reader = new DocumentReader({ ...options, onRead: () => cluster.state.documentRead() });
  const cluster = new TestCluster({
    configMapText: (_namespace, name) => {
      const text = values[name];
      return text === undefined ? { kind: 'missing', reason: 'it is not there' } : { kind: 'text', text };
    },
    longDocuments: reader,
  });
  t.teardown(() => reader.close());
  const refs = () => Object.keys(values).map((name) => ({ name, key: 'k' }));
  const settle = async () => {
    cluster.state.refresh();
    await reader.settled();
    cluster.state.refresh();
  };
  return { reader, cluster, refs, settle };
}

t.test("GitHub's description out of ConfigMaps holds nobody up, and is in force as it travels", async (t) => {
  const text = await githubDescription();
  const values: { [name: string]: string } = {};
  for (let start = 0; start < text.length; start += PART_LENGTH)
    values[`p${start}`] = text.slice(start, start + PART_LENGTH);
  const { reader, cluster, refs } = clusterWith(t, values);
  const { state } = cluster;
  const schema = cluster.resource('APISchema', 'github', { openapi: { configMapRefs: refs() } });
  const policy = cluster.resource('APIValidationPolicy', 'github', {
    schemaRefs: ['github'],
    overrides: [{ operationId: 'meta/root', mode: 'Audit' }],
  });

  const delays = monitorEventLoopDelay({ resolution: 1 });
  await new Promise((resolve) => setTimeout(resolve, 20));
  delays.enable();
  state.refresh();
  t.equal(state.resources.get(schema)?.inForce, undefined, 'it is being read');
  await reader.settled();
  const begunMs = performance.now();
  state.refresh();
  t.comment(`judged in ${(performance.now() - begunMs).toFixed(1)} ms`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  delays.disable();

  t.same(
    state.resources.get(schema)?.problems?.filter(({ severity }) => severity === 'error'),
    [],
  );
  t.same(state.resources.get(policy)?.problems, []);
  const inForce = state.resources.get(schema)?.inForce;
  const { spec } = JSON.parse(inForce?.document ?? '{}');
  t.ok(documentTextOf(spec.openapi) === travellingDocument(text), 'the very document');
  t.comment(`longest turn ${(delays.max / 1e6).toFixed(1)} ms`);
  // 11 to 14 ms, most of them the first judging of any object; read here it would be over a second.
  t.ok(delays.max / 1e6 < 150, `${delays.max / 1e6} ms`);
});

t.test('a long document in the object is read elsewhere too, and what is wrong with it has its place', async (t) => {
  const { cluster, settle } = clusterWith(t, {});
  const good = cluster.resource('APISchema', 'good', { openapi: { inline: DOCUMENT } });
  const broken = cluster.resource('APISchema', 'broken', {
    openapi: { inline: DOCUMENT.replace('/orders:', 'orders:') },
  });
  cluster.state.refresh();
  t.equal(cluster.state.resources.get(good)?.problems, undefined, 'not judged yet');
  await settle();
  t.same(cluster.state.resources.get(good)?.problems, []);
  t.match(cluster.inForce(), { 'APISchema/shop/good': { openapi: { inline: travellingDocument(DOCUMENT) } } });
  t.match(cluster.state.resources.get(broken)?.problems, [
    { severity: 'error', message: /^line 4, column 3 of the document: .*orders/ },
  ]);
});

t.test('what was in force stays until the next document is read, and is the law while that has errors', async (t) => {
  const values: { [name: string]: string } = { api: DOCUMENT };
  const { cluster, refs, settle } = clusterWith(t, values);
  const key = cluster.resource('APISchema', 'api', { openapi: { configMapRefs: refs() } });
  await settle();
  const first = cluster.state.resources.get(key)?.inForce;
  t.ok(first);

  values.api = DOCUMENT.replace('/orders', '/others');
  cluster.state.configMapChanged('shop', 'api');
  cluster.state.refresh();
  t.equal(cluster.state.resources.get(key)?.inForce, first, 'while it is read');
  values.api = DOCUMENT.replace('/orders', '/later');
  cluster.state.configMapChanged('shop', 'api');
  await settle();
  t.match(cluster.state.resources.get(key)?.inForce?.document, /later/, 'the last one counts');

  values.api = DOCUMENT.replace('3.1.0', '9.9.9');
  cluster.state.configMapChanged('shop', 'api');
  await settle();
  t.match(cluster.state.resources.get(key)?.problems, [{ severity: 'error', message: /9\.9\.9/ }]);
  t.match(cluster.state.resources.get(key)?.inForce?.document, /later/);
});

t.test('a document that cannot be read within its limits is refused alone, and says why', async (t) => {
  const cases: readonly [string, string, RegExp, Partial<DocumentReaderOptions>][] = [
    ['time', DOCUMENT, /longer than 1 ms/, { timeoutMs: 1 }],
    ['memory', manyPaths(60_000), /cannot be read: .*memory/, { maxHeapMb: 64 }],
    ['length', ' '.repeat(MAX_SCHEMA_DOCUMENT_BYTES + 1), /of \d+ bytes exceeds the limit of \d+/, {}],
  ];
  for (const [name, document, reason, options] of cases) {
    const values: { [name: string]: string } = { document };
    const { cluster, refs, settle } = clusterWith(t, values, options);
    const key = cluster.resource('APISchema', name, { openapi: { configMapRefs: refs() } });
    await settle();
    t.match(cluster.state.resources.get(key)?.problems, [{ severity: 'error', message: reason }], name);
    t.equal(cluster.state.resources.get(key)?.inForce, undefined, name);
    if (name === 'time') continue;
    values.document = DOCUMENT;
    cluster.state.configMapChanged('shop', 'document');
    await settle();
    t.same(cluster.state.resources.get(key)?.problems, [], `${name}: the next is read all the same`);
  }
});

t.test('a descriptor set of bytes in two ConfigMaps is one document', async (t) => {
  const { set } = await shopProto(SHOP_PROTO);
  const bytes = Buffer.from(set);
  const parts = [bytes.subarray(0, 1000), bytes.subarray(1000), Buffer.alloc(0)];
  const reader = new DocumentReader({ onRead: () => {} });
  t.teardown(() => reader.close());
  const given = parts.map((part) => ({ text: part.toString('base64'), isBase64: true as const }));
  t.same(reader.read('shop/orders', 'protoDescriptorSet', given), { kind: 'pending' });
  await reader.settled();
  const read = reader.read('shop/orders', 'protoDescriptorSet', given);
  if (read.kind !== 'read') throw new Error(read.kind);
  t.same(read.form, travellingDescriptorSet(bytes.toString('base64')));
  t.match(read.facts.operations, [{ title: /^POST \/shop/ }]);
  t.same(read.facts.findings, []);
});

function manyPaths(count: number): string {
  const paths = Array.from({ length: count }, (_, index) => `  /p${index}: {get: {responses: {}}}`);
  return `openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n${paths.join('\n')}\n`;
}

t.test('a review reads nothing: it knows what was read for the cluster; what is gone is forgotten', async (t) => {
  const { reader, cluster, settle } = clusterWith(t, {});
  const spec = { openapi: { inline: DOCUMENT.replace('3.1.0', '9.9.9') } };
  const metadata = { name: 'orders', namespace: 'shop' };
  const object = { apiVersion: 'lateral.dev/v1alpha1', kind: 'APISchema', metadata, spec };
  t.same(judgeObject(object, cluster.state), { errors: [], warnings: [] }, 'nothing is known of it');
  await reader.settled();
  const parts = [{ text: spec.openapi.inline }];
  const known = () => reader.known('APISchema/shop/orders', 'openapi', parts).kind;
  t.equal(known(), 'pending', 'and nothing was read for it');
  const key = cluster.resource('APISchema', 'orders', spec);
  await settle();
  t.equal(known(), 'read');
  t.match(judgeObject(object, cluster.state).errors, [{ message: /9\.9\.9/ }]);
  cluster.state.resourceChanged(key, undefined);
  cluster.state.refresh();
  t.equal(known(), 'pending');
});

t.test('a start with a broken document goes on with the long one that was good last', async (t) => {
  const { cluster, settle } = clusterWith(t, {});
  const lastGoodSpec = JSON.stringify({ openapi: { inline: DOCUMENT } });
  const broken = { openapi: { inline: DOCUMENT.replace('3.1.0', '9.9.9') } };
  const key = cluster.resource('APISchema', 'orders', broken, { status: { lastGoodSpec } });
  await settle();
  await settle();
  const { problems, inForce } = cluster.state.resources.get(key) ?? {};
  t.match(problems, [{ message: /9\.9\.9/ }]);
  t.match(JSON.parse(inForce?.document ?? '{}').spec, { openapi: { inline: travellingDocument(DOCUMENT) } });
});
