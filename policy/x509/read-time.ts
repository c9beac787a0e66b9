import { type DerReader, TAG } from './der-reader.ts';

const ZERO = 0x30;
const Z = 0x5a;
/** UTCTime's two digits: 50 to 99 are of the 20th century. RFC 5280 §4.1.2.5.1. */
const FIRST_YEAR_OF_LAST_CENTURY = 50;
/** From here on a time is a GeneralizedTime, before it a UTCTime. RFC 5280 §4.1.2.5. */
const FIRST_GENERALIZED_YEAR = 2050;

/** A Time of a certificate: to the second, in UTC, in the one form that its year allows. Milliseconds since 1970. */
export function readTime(reader: DerReader, what: string): number {
  const isUtcTime = reader.isNext(TAG.utcTime);
  const text = reader.content(isUtcTime ? TAG.utcTime : TAG.generalizedTime, what);
  const yearDigits = isUtcTime ? 2 : 4;
  if (text.length !== yearDigits + 11 || text[text.length - 1] !== Z) reader.fail(`${what}: not of the form of a time`);
  for (let index = 0; index < text.length - 1; index++) {
    const digit = (text[index] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) reader.fail(`${what}: not of the form of a time`);
  }
  const pair = (at: number) => ((text[at] ?? 0) - ZERO) * 10 + (text[at + 1] ?? 0) - ZERO;
  const year = isUtcTime ? utcYear(pair(0)) : pair(0) * 100 + pair(2);
  if (!isUtcTime && year < FIRST_GENERALIZED_YEAR) reader.fail(`${what}: GeneralizedTime of the year ${year}`);
  const [month, day, hour] = [pair(yearDigits), pair(yearDigits + 2), pair(yearDigits + 4)];
  const [minute, second] = [pair(yearDigits + 6), pair(yearDigits + 8)];
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(ms);
  // Date carries 30 February over into March
  const isReal = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!isReal || hour > 23 || minute > 59 || second > 59) reader.fail(`${what}: no such time`);
  return ms;
}

function utcYear(digits: number): number {
  return digits < FIRST_YEAR_OF_LAST_CENTURY ? 2000 + digits : 1900 + digits;
}
