import t from 'tap';
import { apply, get, helm, kubectl, list, run, until } from './cluster-tools.ts';
import { rolledOut as deployed, manifests as manifestsOf, restartSidecar, type Workload } from './workloads.ts';

/** What is not plain HTTP to a Deployment: gRPC, WebSocket, a server that speaks first, StatefulSets, odd pods, outages. */
const ROOT = 'lateral-system';
const NAMESPACE = 'protocols';
const CHART = [
  '--set',
  'image.repository=localhost/lateral',
  '--set',
  'image.tag=dev',
  '--set',
  'image.pullPolicy=IfNotPresent',
];
const POSTGRES_IMAGE = 'localhost/postgres:15';
const hasPostgres = (await run('kubectl', ['get', 'nodes', '-o', 'json'])).stdout.includes(POSTGRES_IMAGE);

/** An h2c server that answers as a gRPC service would: trailers with grpc-status. */
const GRPC_SERVER = `
import http2 from 'node:http2';
http2.createServer().on('stream', (stream, headers) => {
  stream.on('data', () => {});
  stream.on('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-caller': headers['x-forwarded-client-cert'] ?? 'nobody' }));
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
  });
}).listen(50051, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;
const GRPC_CLIENT = `
import http2 from 'node:http2';
const session = http2.connect('http://' + process.argv.at(-1));
const stream = session.request({ ':method': 'POST', ':path': '/shop.Greeter/Hello', 'content-type': 'application/grpc', te: 'trailers' });
stream.on('response', (headers) => { if (headers['grpc-status'] !== undefined) console.log('grpc-status ' + headers['grpc-status'] + ' ' + headers['grpc-message']); });
stream.on('trailers', (trailers) => console.log('grpc-status ' + trailers['grpc-status'] + ' ' + trailers['x-caller']));
stream.on('error', (error) => console.log(error.message));
stream.on('close', () => process.exit());
stream.resume();
stream.end(Buffer.from([0, 0, 0, 0, 0]));
`;
/** A WebSocket server of few lines: it says one text frame back for each connection (RFC 6455 §1.3). */
const SOCKET_SERVER = `
import http from 'node:http';
import { createHash } from 'node:crypto';
http.createServer((request, response) => response.end(process.env.HOSTNAME + ' ' + request.headers['x-forwarded-client-cert']))
  .on('upgrade', (request, socket) => {
    const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
    socket.write(Buffer.concat([Buffer.from([0x81, 5]), Buffer.from('hello')]));
    socket.on('error', () => {});
  })
  .listen(8080, '0.0.0.0');
process.once('SIGTERM', () => process.exit());
`;
const SOCKET_CLIENT = `
const socket = new WebSocket('ws://' + process.argv.at(-1));
socket.onmessage = ({ data }) => { console.log(data); process.exit(); };
socket.onerror = (event) => { console.log('error ' + event.message); process.exit(1); };
`;

const manifests = (workload: Omit<Workload, 'namespace'>) => manifestsOf({ namespace: NAMESPACE, ...workload });
const rolledOut = (name: string, kind?: string) => deployed(NAMESPACE, name, kind);

/** Runs a script in the client's container. */
async function inClient(script: string, ...args: readonly string[]): Promise<string> {
  const exec = ['exec', '-n', NAMESPACE, 'deploy/client', '-c', 'client', '--', '/usr/local/bin/node'];
  const { stdout, stderr } = await run('kubectl', [...exec, '--input-type=module', '-e', script, ...args]);
  return `${stdout}${stdout === '' ? stderr : ''}`.trim();
}

const FETCH = `const r = await fetch('http://' + process.argv.at(-1), { signal: AbortSignal.timeout(5_000) }).catch((e) => e);
console.log(r instanceof Error ? 'error ' + (r.cause?.code ?? r.message) : r.status + ' ' + await r.text());`;

t.test('the mesh, and workloads of many kinds', async (t) => {
  await helm(
    'install',
    'lateral',
    'helm/lateral',
    '-n',
    ROOT,
    '--create-namespace',
    ...CHART,
    '--wait',
    '--timeout',
    '120s',
  );
  await apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: NAMESPACE, labels: { 'lateral.dev/inject': 'enabled' } },
    }),
  );
  await apply(manifests({ name: 'client' }));
  await apply(manifests({ name: 'greeter', script: GRPC_SERVER, port: 50051, portName: 'grpc' }));
  await apply(manifests({ name: 'socket', script: SOCKET_SERVER, port: 8080, portName: 'http' }));
  await apply(manifests({ name: 'set', script: SOCKET_SERVER, port: 8080, portName: 'http', kind: 'StatefulSet' }));
  await apply(manifests({ name: 'guessed', script: SOCKET_SERVER, port: 8080, portName: 'something' }));
  await apply(
    manifests({
      name: 'unredirected',
      script: SOCKET_SERVER.replace("'0.0.0.0'", "'127.0.0.1'"),
      port: 8080,
      portName: 'http',
      annotations: { 'lateral.dev/interception': 'none' },
    }),
  );
  await Promise.all([
    ...['client', 'greeter', 'socket', 'guessed', 'unredirected'].map((name) => rolledOut(name)),
    rolledOut('set', 'statefulset'),
  ]);
  t.pass('all are ready');
});

t.test('gRPC', async (t) => {
  t.match(
    await inClient(GRPC_CLIENT, 'greeter:50051'),
    /^grpc-status 0 .*URI=spiffe:\/\/cluster\.local\/ns\/protocols\/sa\/client/,
  );
});

t.test('WebSocket', async (t) => {
  t.equal(await inClient(SOCKET_CLIENT, 'socket:8080/chat'), 'hello');
});

t.test('a port whose protocol nobody declared', async (t) => {
  t.match(await inClient(FETCH, 'guessed:8080/'), /^200 guessed-.* URI=|^200 guessed-.*URI=spiffe/);
});

t.test('a pod of a StatefulSet by its own name, and by its address', async (t) => {
  t.match(await inClient(FETCH, 'set-1.set:8080/'), /^200 set-1 .*URI=spiffe/);
  t.match(await inClient(FETCH, 'set:8080/'), /^200 set-[01] .*URI=spiffe/);
  const [pod] = await list('pods', NAMESPACE, 'app=socket');
  t.match(await inClient(FETCH, `${pod?.status.podIP}:8080/`), /^200 socket-.*URI=spiffe/);
});

t.test('interception: none, and an app on loopback', async (t) => {
  t.match(await inClient(FETCH, 'unredirected:8080/'), /^200 unredirected-.*URI=spiffe/);
  const [pod] = await list('pods', NAMESPACE, 'app=unredirected');
  t.notOk((pod?.spec.initContainers ?? []).some(({ name }: { name: string }) => name === 'lateral-init'));
});

t.test('a call to its own service goes through its own sidecar', async (t) => {
  const exec = [
    'exec',
    '-n',
    NAMESPACE,
    'deploy/socket',
    '-c',
    'socket',
    '--',
    '/usr/local/bin/node',
    '--input-type=module',
    '-e',
    FETCH,
  ];
  t.match((await run('kubectl', [...exec, 'socket:8080/'])).stdout, /^403 .*authorization_not_allowed/);
});

t.test(
  'a server that speaks first: PostgreSQL',
  { skip: hasPostgres ? false : `no image ${POSTGRES_IMAGE}` },
  async (t) => {
    // its own user has another number in each build of the image, so that root begins
    const start = [
      'export PATH=/usr/lib/postgresql/15/bin:$PATH LC_ALL=C',
      'mkdir /data/db && chown postgres /data/db && cd /data/db',
      'runuser -u postgres -- initdb -D /data/db -A trust >/dev/null',
      'echo "host all all all trust" >> /data/db/pg_hba.conf',
      'exec runuser -u postgres -- postgres -D /data/db -h 0.0.0.0 -k /tmp',
    ].join(' && ');
    const container = {
      name: 'postgres',
      image: POSTGRES_IMAGE,
      imagePullPolicy: 'IfNotPresent',
      command: ['/bin/sh', '-c', start],
      ports: [{ containerPort: 5432 }],
      readinessProbe: {
        exec: { command: ['/usr/lib/postgresql/15/bin/pg_isready', '-h', '127.0.0.1'] },
        periodSeconds: 1,
      },
      volumeMounts: [{ name: 'data', mountPath: '/data' }],
    };
    const pod = {
      containers: [container],
      volumes: [{ name: 'data', emptyDir: {} }],
      securityContext: { fsGroup: 101 },
    };
    await apply(manifests({ name: 'postgres', port: 5432, portName: 'tcp-postgres', pod }));
    const client = {
      ...container,
      name: 'psql',
      command: ['/bin/sleep', '3600'],
      ports: [],
      readinessProbe: undefined,
    };
    await apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'psql', namespace: NAMESPACE },
        spec: {
          serviceAccountName: 'client',
          terminationGracePeriodSeconds: 1,
          containers: [client],
          volumes: pod.volumes,
        },
      }),
    );
    await rolledOut('postgres');
    await kubectl('wait', '-n', NAMESPACE, '--for=condition=Ready', 'pod/psql', '--timeout=90s');
    const ask = () =>
      run('kubectl', [
        'exec',
        '-n',
        NAMESPACE,
        'psql',
        '-c',
        'psql',
        '--',
        '/usr/lib/postgresql/15/bin/psql',
        '-h',
        'postgres',
        '-U',
        'postgres',
        '-Atc',
        'select 6 * 7',
      ]);
    // that an endpoint is ready is known to kubectl a moment before it is to the sidecar of the caller
    const psql = await until('an answer', ask, ({ code }) => code === 0, 5_000).catch(async (error: unknown) => {
      t.comment(await kubectl('logs', '-n', NAMESPACE, 'psql', '-c', 'lateral-sidecar', '--tail', '20'));
      throw error;
    });
    t.equal(psql.stdout.trim(), '42', psql.stderr);
  },
);

t.test('pods that are never injected', async (t) => {
  const pod = (name: string, spec: object, metadata: object = {}) =>
    apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: NAMESPACE, ...metadata },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            { name: 'c', image: 'localhost/shop:dev', imagePullPolicy: 'IfNotPresent', args: ['/shop/client.ts'] },
          ],
          ...spec,
        },
      }),
    );
  await pod('host', { hostNetwork: true });
  await pod('out', {}, { labels: { 'lateral.dev/inject': 'false' } });
  for (const name of ['host', 'out']) {
    const { spec } = await get('pod', name, NAMESPACE);
    t.notOk(
      (spec.initContainers ?? []).some(({ name }: { name: string }) => name === 'lateral-sidecar'),
      name,
    );
  }
});

t.test('a port that is excluded from the mesh is reached past the sidecar, also by its Service', async (t) => {
  await apply(
    manifests({
      name: 'excluded',
      script: SOCKET_SERVER,
      port: 8080,
      portName: 'http',
      annotations: { 'lateral.dev/exclude-inbound-ports': '8080' },
    }),
  );
  await rolledOut('excluded');
  t.match(await inClient(FETCH, 'excluded:8080/'), /^200 excluded-.* undefined$/, 'the app sees no certificate');
});

t.test('without the control plane calls go on, also after a sidecar was killed', async (t) => {
  await kubectl('scale', '-n', ROOT, 'deploy/lateral-control-plane', '--replicas=0');
  await until(
    'no control plane',
    () => list('pods', ROOT, 'app.kubernetes.io/component=control-plane'),
    (pods) => pods.length === 0,
  );
  t.match(await inClient(FETCH, 'socket:8080/'), /^200 /);
  const late = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'late', namespace: NAMESPACE },
    spec: {
      containers: [
        { name: 'c', image: 'localhost/shop:dev', imagePullPolicy: 'IfNotPresent', args: ['/shop/client.ts'] },
      ],
    },
  });
  const refused = await run('kubectl', ['apply', '-f', '-'], late);
  t.not(refused.code, 0, 'no pod starts without its sidecar in a labelled namespace');
  t.match(refused.stderr, /failed calling webhook/);
  const elsewhere = await run('kubectl', ['apply', '--dry-run=server', '-f', '-'], late.replace(NAMESPACE, 'default'));
  t.equal(elsewhere.code, 0, 'other namespaces notice nothing');
  const [before] = await list('pods', NAMESPACE, 'app=socket');
  await restartSidecar(NAMESPACE, before?.metadata.name ?? '');
  t.match(
    await until(
      'calls',
      () => inClient(FETCH, 'socket:8080/'),
      (text) => text.startsWith('200'),
      20_000,
    ),
    /^200 /,
  );
  await kubectl('scale', '-n', ROOT, 'deploy/lateral-control-plane', '--replicas=1');
  await kubectl('rollout', 'status', '-n', ROOT, 'deploy/lateral-control-plane', '--timeout=90s');
});

t.test('the classic form of the sidecar, as old clusters need it', async (t) => {
  const classic = ['--set', 'injection.nativeSidecar=never', '--wait', '--timeout', '120s'];
  await helm('upgrade', 'lateral', 'helm/lateral', '-n', ROOT, ...CHART, ...classic);
  await kubectl('rollout', 'restart', '-n', NAMESPACE, 'deploy/socket');
  await rolledOut('socket');
  const pods = (await list('pods', NAMESPACE, 'app=socket')).filter(
    ({ metadata }) => metadata.deletionTimestamp === undefined,
  );
  const [pod] = pods;
  t.strictSame(
    pod?.spec.containers.map(({ name }: { name: string }) => name),
    ['lateral-sidecar', 'socket'],
  );
  t.match(await inClient(FETCH, 'socket:8080/'), /^200 socket-.*URI=spiffe/);
});

t.test('all of it is removed', async () => {
  await kubectl('delete', 'namespace', NAMESPACE, '--wait=true', '--timeout=120s');
  await helm('uninstall', 'lateral', '-n', ROOT, '--wait', '--timeout', '120s');
  await kubectl('delete', 'namespace', ROOT, '--wait=true', '--timeout=60s');
});
