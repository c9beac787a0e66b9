import t from 'tap';
import { resourceDocument } from '#policy/resource/resource-document.ts';
import { DocumentMemory } from '#policy/snapshot/document-memory.ts';
import { SnapshotError } from '#policy/snapshot/snapshot-error.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

function service(name: string, address: string) {
  const spec = { hosts: [name], endpoints: [{ address, port: 80, plaintext: true }] };
  return resourceDocument({ apiVersion: 'lateral.dev/v1alpha1', kind: 'MeshService', namespace: 'shop', name, spec });
}

t.test('a service that did not change is not read again, one that did is', (t) => {
  const memory = new DocumentMemory(MESH);
  const [one, two] = memory.read([service('one', '10.0.0.1'), service('two', '10.0.0.2')]);
  const [sameOne, otherTwo] = memory.read([service('one', '10.0.0.1'), service('two', '10.0.0.3')]);
  t.equal(sameOne, one);
  t.not(otherTwo, two);
  t.match(otherTwo?.any, { resource: { spec: { endpoints: [{ address: '10.0.0.3' }] } } });
  t.end();
});

t.test('the text decides, not the version that it claims', (t) => {
  const memory = new DocumentMemory(MESH);
  const first = service('one', '10.0.0.1');
  memory.read([first]);
  const [again] = memory.read([{ ...service('one', '10.0.0.9'), version: first.version }]);
  t.match(again?.any, { resource: { spec: { endpoints: [{ address: '10.0.0.9' }] } } });
  t.end();
});

t.test('what cannot be read is not remembered, and hides nothing', (t) => {
  const memory = new DocumentMemory(MESH);
  const broken = { ...service('one', '10.0.0.1'), document: '{' };
  t.throws(() => memory.read([broken]), SnapshotError);
  t.throws(() => memory.read([broken]), SnapshotError);
  t.equal(memory.read([service('one', '10.0.0.1')]).length, 1);
  t.end();
});
