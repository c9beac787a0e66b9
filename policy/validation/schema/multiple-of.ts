/**
 * True when a number is a whole multiple of another, both read as the decimals they were written as: 19.99 is a multiple of 0.01,
 * though it is none in binary floating point. Source: JSON Schema 2020-12, Validation §6.2.1.
 */
export function isMultipleOf(value: number, divisor: number): boolean {
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0;
  if (!Number.isFinite(value)) return false;
  const left = decimal(value);
  const right = decimal(divisor);
  const shift = Math.min(left.exponent, right.exponent);
  const dividend = left.digits * 10n ** BigInt(left.exponent - shift);
  return dividend % (right.digits * 10n ** BigInt(right.exponent - shift)) === 0n;
}

interface Decimal {
  readonly digits: bigint;
  /** Power of ten; a double's is within 330. */
  readonly exponent: number;
}

/** The shortest decimal that stands for a double: what people and programs write. */
function decimal(value: number): Decimal {
  const [mantissa = '0', exponent = '0'] = value.toExponential().split('e');
  const [whole = '0', fraction = ''] = mantissa.split('.');
  return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length };
}
