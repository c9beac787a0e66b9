import t from 'tap';
import { waitUntilReady } from '#sidecar/probes/wait-ready.ts';
import { freePorts } from '../../support/free-ports.ts';
import { startApp } from '../../support/start-app.ts';

t.test('waits until /readyz says 200', async (t) => {
  const asked: (string | undefined)[] = [];
  const { port } = await startApp(t, (request, response) => {
    asked.push(request.url);
    response.writeHead(asked.length < 3 ? 503 : 200).end('waiting for certificate');
  });
  await waitUntilReady(port);
  t.same(asked, ['/readyz', '/readyz', '/readyz']);
});

t.test('gives up in time, with what the sidecar said last', async (t) => {
  const { port } = await startApp(t, (_request, response) => response.writeHead(503).end('waiting for certificate\n'));
  await t.rejects(waitUntilReady(port, 200), {
    message: 'the sidecar is not ready after 200 ms: waiting for certificate',
  });
  const [nobody = 0] = await freePorts(1);
  await t.rejects(waitUntilReady(nobody, 100), { message: /^the sidecar is not ready after 100 ms: .*ECONNREFUSED/ });
});
