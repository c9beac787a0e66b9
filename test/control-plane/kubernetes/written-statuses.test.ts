import t from 'tap';
import { type MeshObject, meshObjectOf } from '#control-plane/kubernetes/resources/mesh-objects.ts';
import type { Condition } from '#control-plane/kubernetes/status/conditions.ts';
import { WrittenStatuses } from '#control-plane/kubernetes/status/written-statuses.ts';

const KIND = { group: 'security.istio.io', version: 'v1', kind: 'PeerAuthentication', plural: 'peerauthentications' };

function object(resourceVersion: string, status: unknown = {}): MeshObject {
  const read = meshObjectOf({ metadata: { namespace: 'shop', name: 'a', resourceVersion }, status }, KIND);
  if (read === undefined) throw new Error('no object');
  return read;
}

function said(message: string): readonly Condition[] {
  return [{ type: 'Accepted', status: 'True', reason: 'Accepted', message, observedGeneration: 1 }];
}

t.test('until the watch has told of a write, what was written stands', async (t) => {
  const statuses = new WrittenStatuses();
  const before = object('5', { conditions: ['old'], theirs: 1 });
  t.strictSame(statuses.standing(before), { status: before.status, resourceVersion: '5' });
  const write = { object: before, fields: { conditions: ['new'] }, conditions: said('new'), resourceVersion: '5' };
  statuses.wrote(write, '6');
  t.strictSame(statuses.standing(before), { status: { conditions: ['new'], theirs: 1 }, resourceVersion: '6' });
  const told = object('6', { conditions: ['new'], theirs: 2 });
  t.strictSame(statuses.standing(told), { status: told.status, resourceVersion: '6' });
});

t.test('what a kind drops of a write is not written again and again', async (t) => {
  const statuses = new WrittenStatuses();
  const pruned = object('6', { conditions: [] });
  const write = { object: pruned, fields: { conditions: ['new'] }, conditions: said('new'), resourceVersion: '6' };
  statuses.wrote(write, '6');
  t.strictSame(statuses.standing(pruned).status, { conditions: ['new'] });
});

t.test('the same is said again after a wait that grows up to a bound; anything else at once', async (t) => {
  let nowMs = 0;
  const statuses = new WrittenStatuses(() => nowMs);
  const write = { object: object('5'), fields: {}, conditions: said('a'), resourceVersion: '5' };
  t.ok(statuses.mayWrite(write.object.key, said('a')));
  const waits: number[] = [];
  for (let round = 0; round < 12; round += 1) {
    if (round % 2 === 0) statuses.wrote(write, '6');
    else statuses.refused(write);
    t.ok(statuses.mayWrite(write.object.key, said('b')));
    const fromMs = nowMs;
    while (!statuses.mayWrite(write.object.key, said('a'))) nowMs += 100;
    waits.push(nowMs - fromMs);
  }
  const [first = 0, second = 0] = waits;
  t.ok(first >= 1_000 && first <= 2_100, `${first}`);
  t.ok(second >= 2_000 && second <= 4_100, `${second}`);
  t.ok(Math.max(...waits) <= 120_100, `${waits}`);
  t.ok(Math.min(...waits.slice(-4)) >= 60_000, `${waits}`);
  statuses.wrote({ ...write, conditions: said('b') }, '7');
  const fromMs = nowMs;
  while (!statuses.mayWrite(write.object.key, said('b'))) nowMs += 100;
  t.ok(nowMs - fromMs <= 2_100, 'something else begins anew');
});

t.test('of what is gone nothing is kept', async (t) => {
  const statuses = new WrittenStatuses(() => 0);
  const write = { object: object('5'), fields: { a: 1 }, conditions: said('a'), resourceVersion: '5' };
  statuses.wrote(write, '6');
  statuses.keep((key) => key === write.object.key);
  t.notOk(statuses.mayWrite(write.object.key, said('a')));
  statuses.keep(() => false);
  t.ok(statuses.mayWrite(write.object.key, said('a')));
  t.strictSame(statuses.standing(write.object).status, {});
});
