import { spendWork } from './work-budget.ts';

/** What dividing by way of big integers costs. */
const EXACT_WORK = 300;
/** Whole numbers of so many digits are told apart by a double, and written by it as they are. */
const MAX_WHOLE = 1e15;
/** No double is written with more. */
const MAX_DIGITS = 17;
/** Powers of ten that a double holds exactly. */
const MAX_SHIFT = 22;

/**
 * True when a number is a whole multiple of another, both read as the decimals they were written as: 19.99 is a multiple of 0.01,
 * though it is none in binary floating point. Source: JSON Schema 2020-12, Validation §6.2.1.
 */
export function isMultipleOf(value: number, divisor: number): boolean {
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0;
  if (!Number.isFinite(value)) return false;
  return isMultipleOfDecimal(value, divisorOf(divisor)) ?? isExactMultiple(value, divisor);
}

/** A divisor as a whole number of tenths, hundredths, … */
interface Divisor {
  /** Ten to the number of its decimals; 0: too many for a double. */
  readonly scale: number;
  readonly whole: number;
}

/** Few: what documents hold. */
const divisors = new Map<number, Divisor>();
const MAX_DIVISORS = 1_000;

function divisorOf(divisor: number): Divisor {
  const known = divisors.get(divisor);
  if (known !== undefined) return known;
  const { digits, exponent } = decimal(divisor);
  const fits = -exponent >= 0 && -exponent <= MAX_SHIFT && digits <= MAX_WHOLE;
  const made = fits ? { scale: 10 ** -exponent, whole: Number(digits) } : { scale: 0, whole: 0 };
  if (divisors.size >= MAX_DIVISORS) divisors.clear();
  divisors.set(divisor, made);
  return made;
}

/** By doubles alone; undefined: they do not tell. */
function isMultipleOfDecimal(value: number, { scale, whole }: Divisor): boolean | undefined {
  if (scale === 0) return undefined;
  const scaled = Math.round(value * scale);
  if (Math.abs(scaled) >= MAX_WHOLE) return undefined;
  // Division rounds to the nearest double: where it gives the value back, so many decimals are all that was written of it.
  return scaled / scale === value && scaled % whole === 0;
}

function isExactMultiple(value: number, divisor: number): boolean {
  spendWork(EXACT_WORK);
  const left = decimal(value);
  const right = decimal(divisor);
  const shift = left.exponent - right.exponent;
  if (shift >= 0) return (left.digits * powerOfTen(shift, right.digits)) % right.digits === 0n;
  return left.digits === 0n || (-shift <= MAX_DIGITS && left.digits % (right.digits * 10n ** BigInt(-shift)) === 0n);
}

/** What is left of a power of ten when whole multiples of a number are taken away: the power itself could have 600 digits. */
function powerOfTen(exponent: number, modulus: bigint): bigint {
  let power = 1n;
  let base = 10n % modulus;
  for (let rest = exponent; rest > 0; rest >>= 1) {
    if ((rest & 1) === 1) power = (power * base) % modulus;
    base = (base * base) % modulus;
  }
  return power;
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
