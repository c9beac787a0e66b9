import t from 'tap';
import { TURN_LIMIT_MS, type Turn, UpdateTurns } from '#control-plane/discovery/update-turns.ts';

/** Takes turns that carry bytes, and notes in which order they began. */
function takers(maxBytes: number) {
  let nowMs = 0;
  const turns = new UpdateTurns(() => nowMs, maxBytes);
  const begun: string[] = [];
  const held = new Map<string, Turn>();
  const take = (name: string, bytes: number) =>
    turns.take((turn) => {
      begun.push(name);
      held.set(name, turn);
      turn.carry(bytes);
    });
  const pass = (ms: number) => {
    nowMs += ms;
    return nowMs;
  };
  return { turns, begun, take, pass, end: (name: string) => held.get(name)?.end(), held };
}

t.test('turns begin at once while there is room, then in the order in which they were asked for', async (t) => {
  const { begun, take, end } = takers(100);
  for (const name of ['a', 'b', 'c', 'd']) take(name, 50);
  t.strictSame(begun, ['a', 'b']);
  end('b');
  end('b');
  t.strictSame(begun, ['a', 'b', 'c'], 'a turn that ends twice makes room once');
  end('a');
  t.strictSame(begun, ['a', 'b', 'c', 'd']);
});

t.test('an update larger than the bound gets its turn, and those after it wait', async (t) => {
  const { begun, take, end } = takers(100);
  take('small', 10);
  take('large', 1_000);
  take('next', 10);
  end('small');
  t.strictSame(begun, ['small', 'large']);
  end('large');
  t.strictSame(begun, ['small', 'large', 'next']);
});

t.test('who waits no longer is passed over, and a turn without an update takes no room', async (t) => {
  const { begun, take, end, turns } = takers(100);
  take('a', 100);
  const giveUp = take('b', 100);
  const ended: string[] = [];
  for (const name of ['c', 'd']) {
    turns.take((turn) => {
      ended.push(name);
      turn.end();
    });
  }
  take('e', 100);
  giveUp();
  end('a');
  t.strictSame(ended, ['c', 'd']);
  t.strictSame(begun, ['a', 'e']);
});

t.test('a turn that lasts too long keeps nobody waiting', async (t) => {
  const { begun, take, pass, held, end } = takers(100);
  take('stalled', 100);
  take('next', 100);
  take('last', 100);
  held.get('stalled')?.endIfLate(pass(TURN_LIMIT_MS));
  t.strictSame(begun, ['stalled']);
  held.get('stalled')?.endIfLate(pass(1));
  t.strictSame(begun, ['stalled', 'next']);
  end('stalled');
  t.strictSame(begun, ['stalled', 'next'], 'its end gives nothing back a second time');
});
