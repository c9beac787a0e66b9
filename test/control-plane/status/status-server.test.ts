import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { STATUS_CONNECTIONS, startStatusServer } from '#control-plane/status/status-server.ts';
import { eventually } from '../control-plane-fixture.ts';

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

t.test('addresses that take every place keep no probe out', async (t) => {
  const server = await serve();
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return server.close();
  });
  const { total, ofAddress } = STATUS_CONNECTIONS;
  let open = 0;
  let closed = 0;
  for (let one = 0; one < total + ofAddress; one += 1) {
    const localAddress = `127.0.1.${1 + Math.floor(one / ofAddress)}`;
    const silent = connect({ port: server.port, host: '127.0.0.1', localAddress }, () => (open += 1));
    sockets.push(silent.on('error', () => {}).on('close', () => (closed += 1)));
  }
  await eventually('all have come', () => open === total + ofAddress);
  t.equal(await get(server.port, { host: 'localhost' }), 200);
  await eventually('those beyond the bound are closed, and one for the probe', () => closed > ofAddress);
});

t.test('one address has so many places and no more', async (t) => {
  const server = await serve();
  const sockets: Socket[] = [];
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    return server.close();
  });
  let closed = 0;
  for (let one = 0; one < STATUS_CONNECTIONS.ofAddress + 5; one += 1) {
    const silent = connect({ port: server.port, host: '127.0.0.1', localAddress: '127.0.1.1' });
    sockets.push(silent.on('error', () => {}).on('close', () => (closed += 1)));
  }
  await eventually('five are closed', () => closed === 5);
  t.equal(await get(server.port, { host: 'localhost' }), 200);
});
