import t from 'tap';
import { KNOWN_FORMATS } from '#policy/validation/schema/format-names.ts';
import { formats } from '#policy/validation/schema/formats.ts';

t.test('every format that counts as known is, and none besides', async (t) => {
  t.same(Object.keys(formats).sort(), [...KNOWN_FORMATS].sort());
});
