import fc from 'fast-check';
import t from 'tap';
import { HeldBytes } from '#policy/http/held-bytes.ts';

t.test('holds what was pushed, in order', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 40 }), (pieces) => {
      const held = new HeldBytes();
      for (const piece of pieces) {
        const lent = Buffer.from(piece);
        held.push(lent);
        lent.fill(0); // what comes is only lent
      }
      const whole = Buffer.concat(pieces);
      return held.size === whole.length && Buffer.concat(held.blocks()).equals(whole);
    }),
    { endOnFailure: true },
  );
});

t.test('a hundred thousand single bytes take no more than twice their number', async (t) => {
  const held = new HeldBytes();
  const byte = Buffer.of(1);
  for (let count = 0; count < 100_000; count++) held.push(byte);
  const room = held.blocks().reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  t.ok(room <= 200_000 + 8_192, `${room} bytes`); // the first shares a slab of 8 KiB
  t.ok(held.blocks().length < 20, `${held.blocks().length} blocks`);
});
