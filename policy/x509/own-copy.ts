/** A copy whose memory is its own: views, and small buffers, which Node cuts from a pool, hold the whole of what they are cut from. */
export function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
