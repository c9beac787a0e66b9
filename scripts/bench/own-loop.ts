// A program of its own: `node own-loop.ts URL CONNECTIONS SECONDS` prints figures as one line of JSON. Used where wrk is
// not installed; its own processor time limits what it can ask for.
import { connect } from 'node:net';

const [url = '', connections = '1', seconds = '1'] = process.argv.slice(2);
const { hostname, port, host, pathname } = new URL(url);
const request = Buffer.from(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
const endAt = performance.now() + Number(seconds) * 1_000;
/** How long an answer may take after the end. */
const GRACE_MS = 2_000;
const times: number[] = [];
let errors = 0;

await Promise.all(Array.from({ length: Number(connections) }, loop));
times.sort((left, right) => left - right);
const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
const figures = { perSecond: times.length / Number(seconds), p50Ms: at(0.5), p99Ms: at(0.99), errors };
process.stdout.write(`${JSON.stringify({ requests: times.length, ...figures })}\n`);

/** One request at a time; a response ends after its declared length. */
function loop(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let sentAt = 0;
    let left = 0;
    let head = '';
    const timer = setTimeout(() => socket.destroy(new Error('too slow')), endAt - performance.now() + GRACE_MS);
    const send = () => {
      if (performance.now() >= endAt) {
        socket.destroy();
        return;
      }
      sentAt = performance.now();
      head = '';
      left = 0;
      socket.write(request);
    };
    socket.on('connect', send);
    socket.on('data', (chunk) => {
      if (left > 0) left -= chunk.length;
      else {
        head += chunk.toString('latin1');
        const headEnd = head.indexOf('\r\n\r\n');
        if (headEnd === -1) return;
        if (!head.startsWith('HTTP/1.1 200')) errors++;
        left = headEnd + 4 + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0) - head.length;
      }
      if (left > 0) return;
      times.push(performance.now() - sentAt);
      send();
    });
    socket.on('error', () => errors++);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
