import http2 from 'node:http2';
import net from 'node:net';
import t from 'tap';
import { SAMPLE_INTERVAL_MS } from '#sidecar/pressure/pressure-monitor.ts';
import { processPressure } from '#sidecar/pressure/process-pressure.ts';
import { ALLOW_CLIENT, startInbound, until } from '../../support/inbound-sidecar.ts';
import { startPair } from '../../support/sidecar-pair.ts';
import { startApp } from '../../support/start-app.ts';

const GET = 'GET / HTTP/1.1\r\nHost: server.test\r\n\r\n';

/** Both sidecars live in this process, which has too little memory now; until it looks again by itself. */
function shortOfMemory(): void {
  const { memoryBytes } = processPressure.limits;
  const reading = { residentBytes: memoryBytes, accountedBytes: memoryBytes, heapBytes: 0 };
  processPressure.sample(reading, performance.now());
}

t.test(
  'under pressure new requests are refused as overloaded, with the reason in the log; those under way go on',
  async (t) => {
    let finish = () => {};
    const app = await startApp(t, (request, response) => {
      if (request.url === '/slow') finish = () => response.end('slow');
      else response.end('ok');
    });
    const pair = await startPair(t, app.port);
    const connect = async () => {
      const socket = net.connect(pair.outboundPort, '127.0.0.1');
      t.teardown(() => socket.destroy());
      const seen = { text: '', socket };
      socket.on('data', (bytes) => {
        seen.text += bytes.toString('latin1');
      });
      socket.write(GET);
      await until(() => seen.text.endsWith('ok'));
      return seen;
    };
    const slow = await connect();
    slow.socket.write(GET.replace('/', '/slow'));
    const kept = await connect();
    let isRefused = false;
    await until(async () => {
      kept.text = '';
      shortOfMemory();
      kept.socket.write(GET);
      await until(() => /\r\n\r\n[\s\S]/.test(kept.text));
      isRefused = kept.text.startsWith('HTTP/1.1 503');
      return isRefused; // the process may have looked again in between
    });
    t.ok(isRefused);
    t.match(kept.text, /"code":"overloaded"/);
    t.notMatch(kept.text, /memory/, 'the caller learns no more than the code');
    finish();
    await until(() => slow.text.endsWith('slow'));
    t.match(slow.text, /200 OK[\s\S]*200 OK[\s\S]*slow$/);
    await new Promise((resolve) => setTimeout(resolve, 2 * SAMPLE_INTERVAL_MS));
    await until(() => !processPressure.isRefusing);
    t.match((await connect()).text, /200 OK/, 'it ends by itself');
    const lines = await pair.log('client', 4);
    t.match(
      lines.find(({ code }) => code === 'overloaded'),
      { status: 503, decision: 'deny', reason: /^memory in use: \d+ MB of memoryLimit \d+ MB/ },
    );
    const metrics = await (await fetch(`http://127.0.0.1:${pair.serverMetricsPort}/metrics`)).text();
    t.match(metrics, /^lateral_overloaded 0$/m);
    t.match(metrics, /^lateral_overload_episodes_total [1-9]/m);
    t.match(metrics, /^lateral_connections_open [1-9]/m);
  },
);

t.test('the same on HTTP/2, and a gRPC call is told so as gRPC does it', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('ok'));
  const inbound = await startInbound(t, app.port, 'http', ALLOW_CLIENT);
  const socket = await inbound.connectTls('client', { ALPNProtocols: ['h2'] });
  const session = http2.connect('https://server.test', { createConnection: () => socket });
  session.on('error', () => {});
  t.teardown(() => session.destroy());
  const ask = (headers: http2.OutgoingHttpHeaders) =>
    new Promise<http2.IncomingHttpHeaders>((resolve, reject) => {
      const stream = session.request({ ':path': '/', ...headers });
      stream.on('error', reject);
      stream.on('response', resolve);
      stream.resume();
    });
  t.equal((await ask({}))[':status'], 200);
  const refused = async (
    headers: http2.OutgoingHttpHeaders,
    isRefused: (answer: http2.IncomingHttpHeaders) => boolean,
  ) => {
    let answer: http2.IncomingHttpHeaders = {};
    await until(async () => {
      shortOfMemory();
      answer = await ask(headers);
      return isRefused(answer);
    });
    return answer;
  };
  t.equal((await refused({}, (answer) => Number(answer[':status']) === 503))[':status'], 503);
  const call = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
  const answer = await refused(call, (head) => head['grpc-message'] === 'overloaded');
  t.match(answer, { ':status': 200, 'grpc-status': '14', 'grpc-message': 'overloaded' });
});
