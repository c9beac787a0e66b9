/** Largest object that a watch takes; the API server's own limit is below 3 MiB. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

/** Takes chunks however they are cut, and gives every line but empty ones. Throws when a line exceeds MAX_LINE_BYTES. */
export function lineReader(onLine: (line: string) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let waiting = 0;
  return (chunk) => {
    let begin = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, begin)) {
      parts.push(chunk.subarray(begin, end));
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      waiting = 0;
      begin = end + 1;
      if (line.trim() !== '') onLine(line);
    }
    if (begin === chunk.length) return;
    parts.push(chunk.subarray(begin));
    waiting += chunk.length - begin;
    if (waiting > MAX_LINE_BYTES) throw new Error(`an object exceeds ${MAX_LINE_BYTES} bytes`);
  };
}
