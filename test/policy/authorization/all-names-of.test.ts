import fc from 'fast-check';
import t from 'tap';
import { allNamesOf } from '#policy/authorization/all-names-of.ts';
import { PatternSet, readPattern } from '#policy/authorization/text-set.ts';

const OWN = ['new.example', 'old.example', 'legacy'];
const NAMES = [...OWN, 'other.example', 'old.example.net', 'ns'];
const PATHS = ['/ns/shop/sa/web', '/ns/a/sa/b'];
const PRINCIPALS = NAMES.flatMap((name) => PATHS.map((path) => ({ name, path, principal: `${name}${path}` })));

/** Pieces of principals, with asterisks before, behind and within. */
const pattern = fc.oneof(
  fc
    .tuple(fc.constantFrom(...PRINCIPALS), fc.nat(40), fc.nat(40), fc.constantFrom('', '*'), fc.constantFrom('', '*'))
    .map(([{ principal }, from, to, before, behind]) => {
      const start = before === '' ? 0 : from % principal.length;
      const end = behind === '' ? principal.length : Math.max(start, principal.length - to);
      return `${before}${principal.slice(start, end)}${behind}`;
    }),
  fc.constantFrom('*', '/', '*/', '/*', '', '**', '*/ns/shop/sa/web', '*example/ns/shop/sa/*', 'old.*/ns/shop/sa/web'),
);

const setOf = (patterns: readonly string[]) =>
  new PatternSet(patterns.flatMap((one) => allNamesOf(one, OWN)).map(readPattern));

t.test('a caller of the own domain matches as each of its names', async (t) => {
  t.pass('the property below throws where it does not hold');
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 1, maxLength: 3 }), (patterns) => {
      const asWritten = new PatternSet(patterns.map(readPattern));
      const expanded = setOf(patterns);
      return PRINCIPALS.every(({ name, path, principal }) => {
        const names = OWN.includes(name) ? OWN : [name];
        return expanded.has(principal) === names.some((one) => asWritten.has(`${one}${path}`));
      });
    }),
    { numRuns: 5_000 },
  );
});

t.test('what each form of a pattern means', async (t) => {
  const callers = ['new.example/ns/shop/sa/web', 'old.example/ns/shop/sa/web', 'other.example/ns/shop/sa/web'];
  const matched = (one: string) => callers.map((caller) => setOf([one]).has(caller));
  for (const [one, wanted] of [
    ['old.example/ns/shop/sa/web', [true, true, false]],
    ['new.example/ns/shop/sa/web', [true, true, false]],
    ['legacy/ns/shop/*', [true, true, false]],
    ['old.example*', [true, true, false]],
    ['*ld.example/ns/shop/sa/web', [true, true, false]],
    ['*/ns/shop/sa/web', [true, true, true]],
    ['other.example/*', [false, false, true]],
    ['cluster.local/ns/shop/sa/web', [false, false, false]],
  ] as const) {
    t.same(matched(one), wanted, one);
  }
});
