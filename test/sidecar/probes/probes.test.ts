import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import net from 'node:net';
import { Server as GrpcServer, ServerCredentials, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { textContext } from '#policy/schema/document-context.ts';
import { openLocalServer } from '#sidecar/admin/local-server.ts';
import { probeRoutes } from '#sidecar/probes/probe-routes.ts';
import { probesSchema } from '#sidecar/probes/probe-schema.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { freePorts, listen, portOf } from '../../support/free-ports.ts';

const KUBELET = 'kube-probe/1.34';

interface Answer {
  /** 0: the connection was closed without an answer. */
  readonly status: number;
  readonly body: string;
}

/** What the kubelet gets for one probe, asked of an agent that was started for it. */
async function probe(t: Test, fields: object, kind = 'readiness', giveUpMs = 10_000, query?: string): Promise<Answer> {
  const reasons: string[] = [];
  const isHook = kind === 'preStop' || kind === 'postStart';
  const entry = { container: 'app', kind, ...(isHook ? { key: 'sesame' } : {}), ...fields };
  const probes = probesSchema.read([entry], [], textContext(reasons, 'probes'));
  t.same(reasons, []);
  const routes = probeRoutes(probes ?? [], '127.0.0.1');
  const agent = await openLocalServer({ port: 0, address: '127.0.0.1', loopbackOnly: false }, routes);
  try {
    return await ask(agent.port, `/app-health/app/${kind}${query ?? (isHook ? '?key=sesame' : '')}`, giveUpMs);
  } finally {
    await agent.close();
  }
}

function ask(port: number, path: string, giveUpMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const asked = request(
      { port, host: '127.0.0.1', path, agent: false, headers: { 'user-agent': KUBELET } },
      (response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    asked.setTimeout(giveUpMs, () => asked.destroy());
    asked.on('error', () => resolve({ status: 0, body: '' }));
    asked.end();
  });
}

async function startServer(t: Test, server: Server): Promise<number> {
  await listen(server);
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return portOf(server);
}

const startHttp = (t: Test, handler: (request: IncomingMessage, response: ServerResponse) => void) =>
  startServer(t, createServer(handler));

t.test('http: method, path, query and headers arrive as the pod states them', async (t) => {
  const seen: IncomingMessage[] = [];
  const port = await startHttp(t, (request, response) => {
    seen.push(request);
    response.end('fine');
  });
  const headers = [
    { name: 'Host', value: 'orders.example' },
    { name: 'X-Key', value: 'a b' },
    { name: 'X-Key', value: 'second' },
    { name: 'X-Empty', value: '' },
  ];
  const answer = await probe(t, { http: { port, path: '/a/../b%2Fc?x=1&y=$(Z)', headers } });
  t.same(answer, { status: 200, body: 'ok\n' });
  const [request] = seen;
  t.equal(`${request?.method} ${request?.url}`, 'GET /a/../b%2Fc?x=1&y=$(Z)');
  t.same(request?.rawHeaders, [
    ...['Host', 'orders.example', 'User-Agent', KUBELET],
    ...['X-Key', 'a b', 'X-Key', 'second', 'X-Empty', '', 'Accept', '*/*', 'Connection', 'close'],
  ]);
});

t.test('http: without headers of its own the host is the address; an empty accept or agent is left out', async (t) => {
  const seen: string[][] = [];
  const port = await startHttp(t, (request, response) => {
    seen.push([request.url ?? '', ...request.rawHeaders]);
    response.end();
  });
  await probe(t, { http: { port } });
  await probe(t, { http: { port, path: 'health ü#part', headers: [{ name: 'accept', value: '' }] } });
  await probe(t, { http: { port, path: '/', headers: [{ name: 'User-Agent', value: 'mine' }] } });
  const host = ['Host', `127.0.0.1:${port}`];
  t.same(seen, [
    ['/', ...host, 'User-Agent', KUBELET, 'Accept', '*/*', 'Connection', 'close'],
    ['/health%20%C3%BC', ...host, 'User-Agent', KUBELET, 'Connection', 'close'],
    ['/', ...host, 'User-Agent', 'mine', 'Accept', '*/*', 'Connection', 'close'],
  ]);
});

t.test("http: 200 to 399 pass; the app's own status is what the kubelet is told otherwise", async (t) => {
  const port = await startHttp(t, (request, response) => {
    response.writeHead(Number(request.url?.slice(1)));
    response.end();
  });
  for (const [given, told] of [
    [200, 200],
    [204, 200],
    [304, 200],
    [399, 200],
    [400, 400],
    [404, 404],
    [503, 503],
    [599, 599],
    [600, 503],
  ]) {
    t.equal((await probe(t, { http: { port, path: `/${given}` } })).status, told, String(given));
  }
});

t.test('http: redirects are followed at the same host only, nine of them', async (t) => {
  const seen: string[] = [];
  const port = await startHttp(t, (request, response) => {
    seen.push(`${request.headers.host} ${request.url}`);
    const to: { [path: string]: string } = {
      '/relative': 'good?x=1',
      '/absolute': `http://127.0.0.1:${port}/bad`,
      '/elsewhere': 'http://elsewhere.invalid/bad',
      '/strange': 'file:///etc/passwd',
      '/loop': '/loop',
      '/nowhere': 'http://[',
      '/ftp': 'ftp://127.0.0.1/',
    };
    const location = to[request.url ?? ''];
    if (location !== undefined) response.writeHead(302, { location });
    else response.writeHead(request.url?.startsWith('/good') === true ? 200 : 500);
    response.end();
  });
  const headers = [{ name: 'Host', value: 'own.example' }];
  t.equal((await probe(t, { http: { port, path: '/relative', headers } })).status, 200);
  t.same(seen, ['own.example /relative', 'own.example /good?x=1'], 'the host of the probe is kept');
  t.equal((await probe(t, { http: { port, path: '/absolute', headers } })).status, 500);
  t.equal(seen.at(-1), `127.0.0.1:${port} /bad`);
  t.equal((await probe(t, { http: { port, path: '/elsewhere' } })).status, 200, 'a redirect that leads away passes');
  t.equal((await probe(t, { http: { port, path: '/strange' } })).status, 200);
  t.match(await probe(t, { http: { port, path: '/nowhere' } }), { status: 503, body: /no URL/ });
  t.match(await probe(t, { http: { port, path: '/ftp' } }), { status: 503, body: /ftp:, which is not followed/ });
  seen.length = 0;
  const loop = await probe(t, { http: { port, path: '/loop' } });
  t.same([loop.status, loop.body], [503, 'stopped after 10 redirects\n']);
  t.equal(seen.length, 10);
});

t.test('http: an app that does not answer, breaks off, or does not listen fails within the timeout', async (t) => {
  const silent = await startHttp(t, () => {});
  const before = performance.now();
  const timedOut = await probe(t, { timeoutSeconds: 1, http: { port: silent } });
  t.same([timedOut.status, timedOut.body], [503, 'no answer within 1000 ms\n']);
  t.ok(performance.now() - before < 3_000);
  const broken = await startHttp(t, (_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => response.destroy());
  });
  t.equal((await probe(t, { http: { port: broken } })).status, 503);
  const [nobody = 0] = await freePorts(1);
  const refused = await probe(t, { http: { port: nobody } });
  t.equal(refused.status, 503);
  t.match(refused.body, /ECONNREFUSED/);
});

t.test('http: of a body without end 10 KiB are read, and that is enough', async (t) => {
  let isClosed = false;
  const port = await startHttp(t, (_request, response) => {
    const timer = setInterval(() => response.write(Buffer.alloc(4_096)), 5);
    response.on('close', () => {
      isClosed = true;
      clearInterval(timer);
    });
  });
  t.equal((await probe(t, { timeoutSeconds: 5, http: { port } })).status, 200);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.ok(isClosed);
});

t.test('https: any certificate will do, and no name is sent', async (t) => {
  const { cert, key } = new TestAuthority().leaf('spiffe://cluster.local/ns/test/sa/server');
  const names: unknown[] = [];
  const server = createHttpsServer({ cert, key }, (_request, response) => response.end());
  server.on('secureConnection', (socket) => names.push(socket.servername));
  const port = await startServer(t, server);
  t.equal((await probe(t, { http: { port, scheme: 'https', path: '/' } })).status, 200);
  t.same(names, [false]);
  t.equal((await probe(t, { http: { port, scheme: 'http', path: '/' } })).status, 503, 'plaintext to a TLS port');
});

t.test('tcp: a connection is enough', async (t) => {
  const server = await listen(net.createServer((socket) => socket.resume()));
  t.teardown(() => server.close());
  t.equal((await probe(t, { tcp: { port: portOf(server) } })).status, 200);
  const [nobody = 0] = await freePorts(1);
  t.match(await probe(t, { tcp: { port: nobody } }), { status: 503, body: /ECONNREFUSED/ });
});

interface Health {
  readonly port: number;
  readonly services: string[];
}

/** grpc.health.v1.Health/Check: the service's name is the answer. */
async function startHealth(t: Test): Promise<Health> {
  const services: string[] = [];
  const method = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (value: Buffer) => value,
    requestDeserialize: (value: Buffer) => value,
    responseSerialize: (value: Buffer) => value,
    responseDeserialize: (value: Buffer) => value,
  };
  const answers: { [service: string]: Buffer } = {
    '': Buffer.of(0x08, 1),
    down: Buffer.of(0x08, 2),
    unknown: Buffer.alloc(0),
    large: Buffer.alloc(4_096, 1),
  };
  const server = new GrpcServer();
  server.addService(
    { check: method },
    {
      check: (call: { request: Buffer }, callback: (error: object | null, value?: Buffer) => void) => {
        const service = call.request.subarray(2).toString();
        services.push(service);
        if (service === 'silent') return;
        const answer = answers[service];
        if (answer === undefined) callback({ code: status.NOT_FOUND, details: 'unknown service' });
        else callback(null, answer);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  t.teardown(() => server.forceShutdown());
  return { port, services };
}

t.test('grpc: SERVING passes, all else fails, with the reason', async (t) => {
  const { port, services } = await startHealth(t);
  const ask = (service: string) => probe(t, { grpc: { port, service } });
  t.same(await ask(''), { status: 200, body: 'ok\n' });
  t.match(await ask('down'), { status: 503, body: /not SERVING/ });
  t.match(await ask('unknown'), { status: 503, body: /not SERVING/ });
  t.match(await ask('large'), { status: 503, body: /more than 1024 bytes/ });
  t.match(await ask('no.such.Service'), { status: 503, body: /grpc-status 5 unknown service/ });
  t.match(await ask('silent'), { status: 503, body: /no answer within 1000 ms/ });
  t.same(services, ['', 'down', 'unknown', 'large', 'no.such.Service', 'silent']);
});

t.test('grpc: an app that speaks no HTTP/2, or no health service', async (t) => {
  const port = await startHttp(t, (_request, response) => response.end());
  t.equal((await probe(t, { grpc: { port, service: '' } })).status, 503);
  const server = new GrpcServer();
  const bare = await new Promise<number>((resolve) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => resolve(bound));
  });
  t.teardown(() => server.forceShutdown());
  t.match(await probe(t, { grpc: { port: bare, service: '' } }), { status: 503, body: /grpc-status 12/ });
});

t.test('a lifecycle hook: every answer is good, and none is told by a connection that breaks', async (t) => {
  const port = await startHttp(t, (_request, response) => {
    response.writeHead(500);
    setTimeout(() => response.end(), 1_500);
  });
  t.equal((await probe(t, { http: { port } }, 'preStop')).status, 200, 'also after the timeout of a probe');
  const [nobody = 0] = await freePorts(1);
  t.equal((await probe(t, { http: { port: nobody } }, 'postStart')).status, 0);
});

t.test('a lifecycle hook runs for nobody without its key', async (t) => {
  let calls = 0;
  const port = await startHttp(t, (_request, response) => {
    calls += 1;
    response.end();
  });
  for (const query of ['', '?key=', '?key=sesam', '?key=sesame2']) {
    t.equal((await probe(t, { http: { port } }, 'preStop', 10_000, query)).status, 403, query);
  }
  t.equal(calls, 0);
  t.equal((await probe(t, { http: { port } }, 'preStop', 10_000, '?key=sesame')).status, 200);
  t.equal(calls, 1);
});

t.test('a kubelet that goes away ends the call to the app', async (t) => {
  const { promise: gone, resolve } = Promise.withResolvers<void>();
  const port = await startHttp(t, (request) => request.socket.on('close', () => resolve()));
  t.equal((await probe(t, { http: { port } }, 'preStop', 200)).status, 0);
  await gone;
});

t.test('a probe says one way to ask', async (t) => {
  for (const fields of [
    {},
    { http: { port: 1 }, tcp: { port: 1 } },
    { http: { port: 0 } },
    { tcp: { prot: 1 } },
    { kind: 'preStop', tcp: { port: 1 } },
    { key: 'k', tcp: { port: 1 } },
  ]) {
    const reasons: string[] = [];
    probesSchema.read([{ container: 'app', kind: 'liveness', ...fields }], [], textContext(reasons, 'probes'));
    t.equal(reasons.length > 0, true, JSON.stringify(fields));
  }
});
