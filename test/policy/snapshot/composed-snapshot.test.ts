import t from 'tap';
import { resourceDocument, snapshotOf } from '#policy/resource/resource-document.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { ComposedSnapshot, differenceBetween, SharedResources } from '#policy/snapshot/composed-snapshot.ts';

const document = (kind: string, name: string, spec: unknown = {}) =>
  resourceDocument({ apiVersion: 'lateral.dev/v1alpha1', kind, namespace: 'shop', name, spec });
const SERVICES = [document('MeshService', 'b'), document('MeshService', 'a'), document('MeshDefaults', 'default')];
const keys = (resources: readonly ResourceDocument[]) => resources.map(({ key }) => key.split('/').at(-1));

t.test('its version is that of all its resources, in whatever order the parts follow each other', async (t) => {
  const cases = {
    'nothing at all': [[], []],
    'nothing shared': [[], [document('AuthorizationPolicy', 'x')]],
    'nothing of its own': [SERVICES, []],
    before: [SERVICES, [document('AuthorizationPolicy', 'x'), document('APISchema', 'x')]],
    behind: [SERVICES, [document('PeerAuthentication', 'x')]],
    'before and behind': [SERVICES, [document('PeerAuthentication', 'x'), document('AuthorizationPolicy', 'x')]],
    between: [SERVICES, [document('MeshLaw', 'x'), document('AuthorizationPolicy', 'x')]],
  };
  for (const [name, [shared = [], own = []]] of Object.entries(cases)) {
    const snapshot = new ComposedSnapshot(new SharedResources(shared), own);
    const { version, resources } = snapshot;
    t.strictSame({ version, resources }, snapshotOf([...own, ...shared]), name);
    for (const one of resources) t.equal(snapshot.find(one.key), one, `${name}: ${one.key} is found`);
    t.equal(snapshot.find('MeshService/shop/absent'), undefined);
  }
});

t.test('what lies between two snapshots is found in both parts, and in the shared one once for all', async (t) => {
  const [first, second] = [document('AuthorizationPolicy', 'first'), document('AuthorizationPolicy', 'second')];
  const before = new SharedResources(SERVICES);
  const after = new SharedResources([
    document('MeshService', 'b', { hosts: ['b'] }),
    document('MeshService', 'c'),
    document('MeshDefaults', 'default'),
  ]);
  const { upserts, removedKeys } = differenceBetween(
    new ComposedSnapshot(before, [first]),
    new ComposedSnapshot(after, [second]),
  );
  t.strictSame(keys(upserts), ['second', 'b', 'c']);
  t.strictSame(removedKeys, ['AuthorizationPolicy/shop/first', 'MeshService/shop/a']);
  const again = differenceBetween(new ComposedSnapshot(before, []), new ComposedSnapshot(after, []));
  t.strictSame(keys(again.upserts), ['b', 'c']);
  t.strictSame(
    differenceBetween(new ComposedSnapshot(after, [first]), new ComposedSnapshot(after, [first])),
    { upserts: [], removedKeys: [] },
    'nothing between the same',
  );
});
