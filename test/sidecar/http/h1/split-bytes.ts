/** `bytes` cut at these places (any order, any number). */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set(places.map((place) => Math.min(place, bytes.length)))].sort((left, right) => left - right);
  return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index] ?? bytes.length));
}

/** Every way that is tried: at each single place, and byte by byte. */
export function* splits(bytes: Buffer): Generator<Buffer[]> {
  for (let place = 1; place < bytes.length; place++) yield cutAt(bytes, [place]);
  yield [...bytes].map((byte) => Buffer.of(byte));
}
