import t from 'tap';
import { readRequests, requestLines } from './read-request.ts';
import { REQUEST_ATTACKS, SMUGGLED_PATH } from './request-attacks.ts';
import { splits } from './split-bytes.ts';

t.test('the table names each attack once', async (t) => {
  t.equal(new Set(REQUEST_ATTACKS.map(({ title }) => title)).size, REQUEST_ATTACKS.length);
});

for (const { title, bytes, expected } of REQUEST_ATTACKS) {
  t.test(`the parser ${title}`, async (t) => {
    const { requests, error, isWithin } = readRequests([Buffer.from(bytes, 'latin1')]);
    t.notOk(requests.some(({ target }) => target === SMUGGLED_PATH));
    if (typeof expected === 'string') {
      t.equal(error?.code, expected);
      t.notOk(
        requests.some(({ isComplete }) => isComplete),
        'and nothing of it was read as whole',
      );
    } else {
      t.strictSame(
        requests.map(({ method, target, body }) => `${method} ${target} ${body}`),
        expected,
      );
      t.notOk(isWithin);
      t.equal(error, undefined);
    }
  });
}

/** Longer ones are split by the generator of parser-invariance.test.ts. */
const MAX_BYTES = 2_000;

t.test('wherever an attack is split, the same is made of it', async (t) => {
  let tried = 0;
  for (const { title, bytes } of REQUEST_ATTACKS) {
    if (bytes.length > MAX_BYTES) continue;
    const whole = Buffer.from(bytes, 'latin1');
    const expected = requestLines(readRequests([whole])).join('\n');
    for (const pieces of splits(whole)) {
      const actual = requestLines(readRequests(pieces)).join('\n');
      tried++;
      if (actual !== expected) t.equal(actual, expected, `${title}, split ${pieces.map((piece) => piece.length)}`);
    }
  }
  t.ok(tried > 10_000, `${tried} ways`);
});
