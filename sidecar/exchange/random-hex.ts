import { randomFillSync } from 'node:crypto';

/** Random bytes drawn and written as hex at once: one call serves some hundred identifiers. */
const POOL_BYTES = 8_192;

const pool = Buffer.alloc(POOL_BYTES);
let hex = '';
let used = 0;

/** `bytes` random bytes as lower-case hex; never all zero (W3C Trace Context §3.2.2.3 forbids it). */
export function randomHex(bytes: number): string {
  const length = bytes * 2;
  if (used + length > hex.length) {
    randomFillSync(pool);
    hex = pool.toString('hex');
    used = 0;
  }
  const text = hex.slice(used, used + length);
  used += length;
  return isZero(text) ? randomHex(bytes) : text;
}

function isZero(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) !== 0x30) return false;
  return true;
}
