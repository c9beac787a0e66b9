import fc from 'fast-check';
import t from 'tap';
import type { Http2Session } from '#sidecar/http/h2/http2-session.ts';
import { Http2Stream } from '#sidecar/http/h2/http2-stream.ts';
import { StreamTable } from '#sidecar/http/h2/stream-table.ts';
import { TurnOrder } from '#sidecar/http/h2/turn-order.ts';

const session: Http2Session = Object.create(null);
const stream = (id: number) => new Http2Stream(session, id, 0, 0);

t.test('the table finds what a Map finds, whatever comes and goes', async (t) => {
  const id = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 2 ** 30 - 1 })).map((n) => n * 2 + 1);
  const steps = fc.array(fc.record({ id, isAdded: fc.boolean() }), { maxLength: 400 });
  fc.assert(
    fc.property(steps, (steps) => {
      const table = new StreamTable();
      const model = new Map<number, Http2Stream>();
      for (const { id, isAdded } of steps) {
        const known = model.get(id);
        if (isAdded && known === undefined) {
          const added = stream(id);
          table.add(added);
          model.set(id, added);
        } else if (!isAdded) {
          if (table.delete(known ?? stream(id)) !== model.delete(id)) return false;
        }
        if (table.size !== model.size || table.get(id) !== model.get(id)) return false;
      }
      return [...model].every(([id, held]) => table.get(id) === held && table.has(id));
    }),
  );
  t.pass('as often as fast-check tried');
});

t.test('IDs as connections draw them: thousands at once, the oldest first to go', async (t) => {
  const table = new StreamTable();
  const streams = Array.from({ length: 20_000 }, (_, index) => stream(index * 2 + 1));
  for (const [index, added] of streams.entries()) {
    table.add(added);
    const old = streams[index - 4_096];
    if (old !== undefined && !table.delete(old)) t.fail(`${old.id} was not there`);
  }
  t.equal(table.size, 4_096);
  t.same(table.all().length, 4_096);
  for (const left of table.all()) table.delete(left);
  t.same([table.size, table.all()], [0, []]);
});

t.test('turns go in the order in which streams asked for them', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.boolean())), (steps) => {
      const order = new TurnOrder();
      const model = new Set<Http2Stream>();
      const streams = Array.from({ length: 10 }, (_, index) => stream(index * 2 + 1));
      for (const [index, isAdded] of steps) {
        const each = streams[index];
        if (each === undefined) continue;
        if (isAdded) order.add(each);
        else order.delete(each);
        if (isAdded) model.add(each);
        else model.delete(each);
        if (order.first !== [...model][0] || order.size !== model.size) return false;
      }
      const left: Http2Stream[] = [];
      for (let first = order.first; first !== undefined; first = order.first) {
        left.push(first);
        order.delete(first);
      }
      return left.length === model.size && left.every((each, index) => each === [...model][index]);
    }),
  );
  t.pass('as often as fast-check tried');
});
