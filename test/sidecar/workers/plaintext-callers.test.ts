import http from 'node:http';
import t from 'tap';
import { PERMISSIVE, until } from '../../support/inbound-sidecar.ts';
import { ALLOW_ALL } from '../../support/sidecar-pair.ts';
import { startSidecarProcess } from '../../support/sidecar-process.ts';
import { startApp } from '../../support/start-app.ts';

/** All of so many connections to one of two workers: once in 2^39 runs. */
const CONNECTIONS = 40;

function askPlain(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.resume();
      response.on('end', resolve);
    });
    request.on('error', reject);
  });
}

t.test('a caller in plaintext is one, whichever workers it came to', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('hello'));
  const sidecar = await startSidecarProcess(t, app.port, ALLOW_ALL + PERMISSIVE, 'concurrency: 2');
  await Promise.all(Array.from({ length: CONNECTIONS }, () => askPlain(sidecar.port)));
  const series = `{port="${app.port}"}`;
  const counted = (kind: string) => sidecar.metric(`lateral_plaintext_${kind}_total${series}`);
  await until(async () => (await counted('requests')) === CONNECTIONS);
  t.strictSame([await counted('connections'), await counted('requests')], [CONNECTIONS, CONNECTIONS]);
  const served = await Promise.all(
    [1, 2].map((worker) => sidecar.metric(`lateral_worker_requests_total{worker="${worker}"}`)),
  );
  t.ok(
    served.every((count) => count > 0),
    `both served: ${served}`,
  );
  const page = await (await fetch(`http://127.0.0.1:${sidecar.ready['admin']}/plaintext-callers`)).text();
  const { callers } = JSON.parse(page);
  t.match(callers, [{ address: '127.0.0.1', port: app.port, connections: CONNECTIONS, requests: CONNECTIONS }]);
  t.equal(callers.length, 1);
});
