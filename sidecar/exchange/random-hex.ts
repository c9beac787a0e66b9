import { randomFillSync } from 'node:crypto';

/** Random bytes drawn at once: one call to the system serves some hundred identifiers. */
const POOL_BYTES = 8_192;

const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** `bytes` random bytes as lower-case hex; never all zero (W3C Trace Context §3.2.2.3 forbids it). */
export function randomHex(bytes: number): string {
  if (used + bytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const text = pool.toString('hex', used, used + bytes);
  used += bytes;
  return /[1-9a-f]/.test(text) ? text : randomHex(bytes);
}
