import { request } from 'node:http';
import t from 'tap';
import { startStatusServer } from '#control-plane/status/status-server.ts';

async function serve() {
  const page = () => ({ contentType: 'text/plain', body: 'ok\n' });
  return startStatusServer(0, { '/readyz': page });
}

function get(port: number, headers: { [name: string]: string }, path = '/readyz', method = 'GET'): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers, setHost: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

t.test('answers to loopback names only, so that no web page elsewhere can read it', async (t) => {
  const server = await serve();
  t.teardown(() => server.close());
  for (const host of ['127.0.0.1', `127.0.0.1:${server.port}`, 'localhost:1', '[::1]:15080', 'LOCALHOST']) {
    t.equal(await get(server.port, { host }), 200, host);
  }
  for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost@evil.example', '10.0.0.1']) {
    t.equal(await get(server.port, { host }), 403, host);
  }
});

t.test('knows its pages, by GET and HEAD', async (t) => {
  const server = await serve();
  t.teardown(() => server.close());
  const headers = { host: 'localhost' };
  t.equal(await get(server.port, headers, '/nothing'), 404);
  t.equal(await get(server.port, headers, '/toString'), 404);
  t.equal(await get(server.port, headers, '/readyz', 'POST'), 405);
  t.equal(await get(server.port, headers, '/readyz?x=1', 'HEAD'), 200);
});

t.test('a port that is taken is said in one sentence', async (t) => {
  const server = await serve();
  t.teardown(() => server.close());
  await t.rejects(startStatusServer(server.port, {}), /console\.port.*another program already listens/);
});
