import fc from 'fast-check';
import t from 'tap';
import { isMultipleOf } from '#policy/validation/schema/multiple-of.ts';
import { renewWork } from '#policy/validation/schema/work-budget.ts';

/** The decimals that numbers are written as, in units that are common to both. */
function exactly(value: number, divisor: number): boolean {
  const parts = [value, divisor].map((number) => {
    const [mantissa = '', exponent = '0'] = number.toExponential().split('e');
    const [whole = '', fraction = ''] = mantissa.split('.');
    return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length };
  });
  const least = Math.min(...parts.map(({ exponent }) => exponent));
  const [left = 0n, right = 1n] = parts.map(({ digits, exponent }) => digits * 10n ** BigInt(exponent - least));
  return left % right === 0n;
}

t.test('multiples are those of the decimals as they are written, whatever their size', async (t) => {
  const divisor = fc.oneof(
    fc.constantFrom(0.01, 0.1, 0.25, 0.005, 1e-8, 1e-22, 1e-23, 1e-300, 5e-324, 1, 3, 2.5, 1e21, 1e300, 0.3, 1.1),
    fc.double({ min: Number.MIN_VALUE, noNaN: true, noDefaultInfinity: true }),
  );
  const value = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc
      .tuple(fc.maxSafeInteger(), fc.integer({ min: -30, max: 30 }))
      .map(([digits, exponent]) => Number(`${digits}e${exponent}`)),
    fc
      .tuple(fc.integer(), fc.integer({ min: -4, max: 4 }))
      .map(([digits, exponent]) => Number(`${digits}e${exponent}`)),
  );
  fc.assert(
    fc.property(value, divisor, fc.integer({ min: -1000, max: 1000 }), (value, divisor, factor) => {
      renewWork();
      const product = Number((divisor * factor).toPrecision(12));
      for (const one of [value, product]) {
        if (Number.isFinite(one)) t.equal(isMultipleOf(one, divisor), exactly(one, divisor), `${one} of ${divisor}`);
      }
    }),
    { numRuns: 3_000 },
  );
});
