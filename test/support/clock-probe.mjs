// Tells for each line of its standard input what time it is by each clock, and whether OpenSSL takes the certificate of
// argv[2] (argv[3]: its key, argv[4]: its root) for valid.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import tls from 'node:tls';

const [cert, key, ca] = process.argv.slice(2).map((path) => readFileSync(path, 'utf8'));
const server = tls.createServer({ cert, key }, (socket) => socket.end());
server.listen(0, '127.0.0.1', () => tell('ready'));
createInterface({ input: process.stdin })
  .on('line', () => tell('asked'))
  .on('close', () => process.exit(0));

function tell(event) {
  const { port } = server.address();
  const options = { port, host: '127.0.0.1', ca, checkServerIdentity: () => undefined, rejectUnauthorized: false };
  const socket = tls.connect(options, () => {
    const verdict = socket.authorized ? 'valid' : String(socket.authorizationError);
    const line = { event, verdict, wallMs: Date.now(), monotonicMs: performance.now() };
    console.log(JSON.stringify(line));
    socket.destroy();
  });
}
