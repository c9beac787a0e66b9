import t from 'tap';
import { DISABLE_SETTLES_MS } from '#sidecar/policy/settled-modes.ts';
import { until } from '../../support/inbound-sidecar.ts';
import { startPods, whyNot } from './pods.ts';

const reason = whyNot();

/** All of so many connections to one of two workers: once in 2^19 runs. */
const CONNECTIONS_TO_BOTH = 20;

/** Addresses of both families: of the pods, of a second address of b, and of the services. */
const FAMILIES = {
  IPv4: {
    a: '10.240.0.1',
    b: '10.240.0.2',
    second: '10.240.0.3',
    service: '10.250.0.9',
    own: '10.250.0.8',
    nobody: '10.250.0.77',
    outside: '10.250.0.7',
    wrong: '10.250.0.6',
    some: '10.250.0.5',
    unreachable: '10.251.0.1',
  },
  IPv6: {
    a: 'fd00:240::1',
    b: 'fd00:240::2',
    second: 'fd00:240::3',
    service: 'fd00:250::9',
    own: 'fd00:250::8',
    nobody: 'fd00:250::77',
    outside: 'fd00:250::7',
    wrong: 'fd00:250::6',
    some: 'fd00:250::5',
    unreachable: 'fd00:251::1',
  },
} as const;

const EXCLUDED_AT_B = '7001,7002,7003,7004,7005,7006';

const serviceOf = (family: keyof typeof FAMILIES) => {
  const { a, b, service, own, outside, wrong, some, unreachable } = FAMILIES[family];
  const suffix = family.slice(2).toLowerCase();
  return `---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: b${suffix}, namespace: test}
spec:
  hosts: [b${suffix}, b${suffix}.test, "${service}"]
  ports:
    - {port: 80, protocol: http}
    - {port: 8000, protocol: auto}
    - {port: 5432, protocol: tcp}
    - {port: 6000, protocol: tcp}
    - {port: 8443, protocol: tcp}
    - {port: 9090, protocol: grpc}
    - {port: 6001, protocol: auto}
  endpoints:
    - address: "${b}"
      port: 8080
      ports: {"8000": 7777, "5432": 5432, "6000": 6000, "8443": 8443, "9090": 9090, "6001": 6001}
      serviceAccount: b
      hostname: b-0
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: a${suffix}, namespace: test}
spec:
  hosts: [a${suffix}, "${own}"]
  ports: [{port: 80, protocol: http}, {port: 5432, protocol: tcp}]
  endpoints: [{address: "${a}", port: 8080, ports: {"5432": 5432}, serviceAccount: a}]
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: wrong${suffix}, namespace: test}
spec:
  hosts: [wrong${suffix}, "${wrong}"]
  ports: [{port: 5432, protocol: tcp}]
  endpoints: [{address: "${b}", port: 5432, serviceAccount: other}]
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: some${suffix}, namespace: test}
spec:
  hosts: [some${suffix}, "${some}"]
  ports: [{port: 5432, protocol: tcp}]
  endpoints:
    - {address: "${b}", port: 5432, serviceAccount: b}
    - {address: "${unreachable}", port: 5432, serviceAccount: b}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: outside${suffix}, namespace: test}
spec:
  hosts: [outside${suffix}, "${outside}"]
  ports: [{port: 7002, protocol: tcp}, {port: 80, protocol: http}, {port: 90, protocol: grpc}]
  endpoints: [{address: "${b}", port: 7002, ports: {"80": 7004, "90": 7006}, plaintext: true}]
`;
};

const policies = (outbound: string) => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-all, namespace: test}
spec: {rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody-at-6000, namespace: test}
spec: {action: DENY, rules: [{to: [{operation: {ports: ["6000"]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: by-address, namespace: test}
spec:
  action: DENY
  rules:
    - to: [{operation: {ports: ["8080"], paths: [/by-address]}}]
      when: [{key: destination.ip, values: [10.240.0.2, "fd00:240::2"]}]
    - to: [{operation: {ports: ["8080"]}}]
      when: [{key: destination.ip, values: [10.240.0.77]}]
---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {outbound: ${outbound}}
${serviceOf('IPv4')}${serviceOf('IPv6')}`;

t.test('two pods whose traffic is redirected', { skip: reason ?? false, timeout: 120_000 }, async (t) => {
  const { a, b, setPolicies } = await startPods(t, policies('RegistryOnly'), [
    {
      name: 'a',
      addresses: ['10.240.0.1/16', 'fd00:240::1/64'],
      initOptions: [
        ...['--exclude-outbound-ports', '7001'],
        ...['--exclude-outbound-cidrs', '10.240.0.3/32,fd00:240::3/128'],
      ],
      inbound: '[{port: 15006}]',
      more: '',
    },
    {
      name: 'b',
      addresses: ['10.240.0.2/16', '10.240.0.3/16', 'fd00:240::2/64', 'fd00:240::3/64'],
      initOptions: ['--exclude-inbound-ports', EXCLUDED_AT_B],
      inbound: '[{port: 15006, ports: {"7777": http}}]',
      more: 'concurrency: 2',
    },
  ]);

  for (const [family, at] of Object.entries(FAMILIES)) {
    const suffix = family.slice(2).toLowerCase();
    const caller = /URI=spiffe:\/\/cluster\.local\/ns\/test\/sa\/a/;

    t.test(`${family}: HTTP to a service goes over mutual TLS to the app's port`, async (t) => {
      const answer = await a.ask({ kind: 'http', address: at.service, port: 80, host: `b${suffix}`, path: '/one' });
      t.match(answer, { status: 200 });
      t.match(JSON.parse(answer.text), { port: 8080, path: '/one', xfcc: caller });
      const source = 'spiffe://cluster.local/ns/test/sa/a';
      t.ok(await b.logged({ direction: 'inbound', path: '/one', port: 8080, source, sourceIp: at.a }));
      t.ok(await a.logged({ direction: 'outbound', path: '/one', port: 8080, host: `b${suffix}` }));
    });

    t.test(`${family}: a host that no service has goes by where the connection was going`, async (t) => {
      for (const [address, port] of [
        [at.service, 80],
        [at.b, 8080],
      ] as const) {
        const answer = await a.ask({ kind: 'http', address, port, host: 'whatever.example', path: '/two' });
        t.match(answer, { status: 200 }, `${address} ${port}`);
        t.match(JSON.parse(answer.text), { port: 8080, xfcc: caller });
      }
    });

    t.test(
      `${family}: a host without a port is of the port that was called; auto finds out that it is HTTP`,
      async (t) => {
        const answer = await a.ask({
          kind: 'http',
          address: at.service,
          port: 8000,
          host: `b${suffix}`,
          path: '/three',
        });
        t.match(JSON.parse(answer.text), { port: 7777, xfcc: caller });
      },
    );

    t.test(
      `${family}: a server that speaks first is heard at once, and half-closed connections end whole`,
      async (t) => {
        const answer = await a.ask({ kind: 'tcp', address: at.service, port: 5432, say: 'question' });
        t.match(answer.text, /^hello [^\n]+\necho question$/);
        t.ok((answer.firstByteMs ?? 9_999) < 900, `no detection timeout: ${answer.firstByteMs} ms`);
        t.ok(await b.logged({ direction: 'inbound', method: null, port: 5432, decision: 'allow' }));
        t.ok(await a.logged({ direction: 'outbound', method: null, port: 5432, decision: 'allow' }));
      },
    );

    t.test(
      `${family}: where nothing is declared, what is no HTTP passes as TCP; whoever waits to be spoken to waits`,
      async (t) => {
        const question = { kind: 'tcp', address: at.service, port: 6001 } as const;
        const first = await a.ask({ ...question, say: '{no HTTP}', speaksFirst: true });
        t.match(first.text, /^hello [^\n]+\necho \{no HTTP\}$/);
        const second = await a.ask({ ...question, say: 'question' });
        t.match(second.text, /^hello [^\n]+\necho question$/);
        t.ok((second.firstByteMs ?? 0) > 900, `both sidecars wait for first bytes: ${second.firstByteMs} ms`);
      },
    );

    t.test(`${family}: an endpoint that proves another identity is sent nothing`, async (t) => {
      const answer = await a.ask({ kind: 'tcp', address: at.wrong, port: 5432, say: 'question', speaksFirst: true });
      t.equal(answer.text, '');
      t.ok(await a.logged({ direction: 'outbound', code: 'upstream_identity_mismatch', decision: 'deny', port: 5432 }));
    });

    t.test(`${family}: an endpoint that cannot be reached is passed over for another`, async (t) => {
      const route = ['route', 'add', 'unreachable', at.unreachable];
      a.run('ip', ...(family === 'IPv6' ? ['-6', ...route] : route));
      for (let count = 0; count < 8; count++) {
        const answer = await a.ask({ kind: 'tcp', address: at.some, port: 5432, say: 'question' });
        t.match(answer.text, /^hello [^\n]+\necho question$/);
      }
    });

    t.test(`${family}: TLS of the app itself passes as TCP`, async (t) => {
      const answer = await a.ask({ kind: 'tls', address: at.service, port: 8443, say: 'question' });
      t.match(answer.text, /^hello [^\n]+\necho question$/);
      t.ok(await b.logged({ direction: 'inbound', method: null, port: 8443, decision: 'allow' }));
    });

    t.test(`${family}: gRPC over HTTP/2, and WebSocket`, async (t) => {
      const grpc = await a.ask({ kind: 'h2', address: at.service, port: 9090, host: `b${suffix}:9090` });
      t.match(grpc, { status: 200, text: /^2\.0 By=.*URI=spiffe:\/\/cluster\.local\/ns\/test\/sa\/a/ });
      const web = await a.ask({ kind: 'websocket', address: at.service, port: 80, host: `b${suffix}`, say: 'hi' });
      t.same(web, { text: 'echo hi' });
    });

    t.test(`${family}: policy sees the port of the app`, async (t) => {
      const answer = await a.ask({ kind: 'tcp', address: at.service, port: 6000, say: 'question', speaksFirst: true });
      t.equal(answer.text, '');
      t.ok(await b.logged({ direction: 'inbound', port: 6000, code: 'authorization_denied' }));
    });

    t.test(`${family}: policy sees the address that was meant`, async (t) => {
      const answer = await a.ask({
        kind: 'http',
        address: at.service,
        port: 80,
        host: `b${suffix}`,
        path: '/by-address',
      });
      t.equal(answer.status, 403);
      t.ok(await b.logged({ direction: 'inbound', path: '/by-address', code: 'authorization_denied' }));
    });

    t.test(`${family}: what is of no service is refused`, async (t) => {
      const http = await a.ask({ kind: 'http', address: at.nobody, port: 80, host: 'nobody.example' });
      t.match(http, { status: 502, text: /"code":"unknown_host"/ });
      const tcp = await a.ask({ kind: 'tcp', address: at.nobody, port: 1234, say: '\u0001\n', speaksFirst: true });
      t.equal(tcp.text, '');
      t.ok(await a.logged({ direction: 'outbound', port: 1234, code: 'unknown_destination' }));
    });

    t.test(`${family}: excluded ports and networks go past the sidecars`, async (t) => {
      const port = await a.ask({ kind: 'tcp', address: at.b, port: 7001, say: 'question' });
      t.match(port.text, new RegExp(`^hello (::ffff:)?${at.a}\n`), 'the app sees its caller');
      const cidr = await a.ask({ kind: 'http', address: at.second, port: 8080 });
      t.ok(cidr.error, 'plaintext arrives at the inbound listener of b, which refuses it');
      t.ok(await b.logged({ direction: 'inbound', port: 8080, code: 'tls_handshake_failed', sourceIp: at.a }));
    });

    t.test(`${family}: an endpoint outside of the mesh is reached in plaintext`, async (t) => {
      const tcp = await a.ask({ kind: 'tcp', address: at.outside, port: 7002, say: 'question' });
      t.match(tcp.text, /^hello [^\n]+\necho question$/);
      const host = `outside${suffix}`;
      const http = await a.ask({ kind: 'http', address: at.outside, port: 80, host, path: '/outside' });
      t.match(JSON.parse(http.text), { port: 7004, path: '/outside', xfcc: null });
      t.ok(await a.logged({ direction: 'outbound', path: '/outside', destination: at.b }));
      const grpc = await a.ask({ kind: 'h2', address: at.outside, port: 90, host: `${host}:90` });
      t.match(grpc, { status: 200, text: '2.0 null' });
    });

    t.test(`${family}: a call to the own service passes the own inbound`, async (t) => {
      const answer = await a.ask({ kind: 'http', address: at.own, port: 80, host: `a${suffix}`, path: '/own' });
      t.match(answer, { status: 200 });
      t.match(JSON.parse(answer.text), { port: 8080, xfcc: caller });
      t.ok(await a.logged({ direction: 'inbound', path: '/own', port: 8080 }));
      const tcp = await a.ask({ kind: 'tcp', address: at.own, port: 5432, say: 'question' });
      t.match(tcp.text, /^hello [^\n]+\necho question$/);
      t.ok(await a.logged({ direction: 'inbound', method: null, port: 5432 }));
    });

    t.test(`${family}: within the pod nothing is redirected`, async (t) => {
      for (const address of [family === 'IPv4' ? '127.0.0.1' : '::1', at.a]) {
        const answer = await a.ask({ kind: 'http', address, port: 8080, path: '/within' });
        t.match(JSON.parse(answer.text), { port: 8080, xfcc: null }, address);
      }
    });

    t.test(`${family}: a connection to the listener itself is refused`, async (t) => {
      const answer = await b.askAsProxy({ kind: 'tcp', address: at.a, port: 15006, say: 'x', speaksFirst: true });
      t.equal(answer.text, '');
      t.ok(await a.logged({ direction: 'inbound', code: 'not_redirected', port: 15006, sourceIp: at.b }));
    });
  }

  t.test('the outbound port can still be named: HTTP by its host, and nothing else', async (t) => {
    const answer = await a.ask({ kind: 'http', address: '127.0.0.1', port: 15001, host: 'bv4', path: '/named' });
    t.match(JSON.parse(answer.text), { port: 8080, path: '/named' });
    const tcp = await a.ask({ kind: 'tcp', address: '127.0.0.1', port: 15001, say: '\u0001\n', speaksFirst: true });
    t.equal(tcp.text, '');
  });

  t.test('a second init changes nothing', async (t) => {
    for (const save of ['iptables-save', 'ip6tables-save']) {
      const rules = () => b.run(save, '-t', 'nat').replaceAll(/^#.*$|\[\d+:\d+\]/gm, '');
      const before = rules();
      t.match(before, /LATERAL_INBOUND/);
      b.run(process.execPath, 'bin/lateral.mjs', 'init', '--exclude-inbound-ports', EXCLUDED_AT_B);
      t.equal(rules(), before, save);
    }
  });

  t.test('AllowAny: an address that is of no service is reached as it is', async (t) => {
    const tcp = { kind: 'tcp', address: FAMILIES.IPv4.b, port: 7003, say: 'question' } as const;
    const http = { kind: 'http', address: FAMILIES.IPv6.b, port: 7005, host: 'nobody.example', path: '/any' } as const;
    t.equal((await a.ask(tcp)).text, '');
    t.equal((await a.ask(http)).status, 502);
    await setPolicies(policies('AllowAny'));
    await until(async () => (await a.ask(tcp)).text !== '');
    t.match((await a.ask(tcp)).text, /^hello [^\n]+\necho question$/);
    t.match(JSON.parse((await a.ask(http)).text), { port: 7005, path: '/any' });
    t.ok(
      await a.logged({ direction: 'outbound', port: 7003, destination: `${FAMILIES.IPv4.b}:7003`, code: 'allowed' }),
    );
  });

  t.test('PERMISSIVE: who is not of the mesh is served in plaintext, at the port that was meant', async (t) => {
    const question = { kind: 'http', address: FAMILIES.IPv6.a, port: 8080, path: '/plain' } as const;
    t.ok((await b.askAsProxy(question)).error, 'STRICT');
    await setPolicies(`${policies('RegistryOnly')}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: test}
spec: {mtls: {mode: PERMISSIVE}}
`);
    await until(async () => (await b.askAsProxy(question)).status === 200);
    t.match(JSON.parse((await b.askAsProxy(question)).text), { port: 8080, xfcc: null });
    t.ok(await a.logged({ direction: 'inbound', path: '/plain', port: 8080, source: null, sourceIp: FAMILIES.IPv6.b }));
    const tcp = await b.askAsProxy({ kind: 'tcp', address: FAMILIES.IPv4.a, port: 5432, say: '{}', speaksFirst: true });
    t.match(tcp.text, /^hello [^\n]+\necho \{\}$/);
    const denied = await b.askAsProxy({
      kind: 'tcp',
      address: FAMILIES.IPv4.a,
      port: 6000,
      say: '{}',
      speaksFirst: true,
    });
    t.equal(denied.text, '');
  });

  t.test('DISABLE: callers of the mesh come in plaintext too, and TLS is the app', async (t) => {
    await setPolicies(`${policies('RegistryOnly')}---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: test}
spec: {mtls: {mode: DISABLE}}
`);
    const { service } = FAMILIES.IPv4;
    const first = { kind: 'http', address: service, port: 80, host: 'bv4', path: '/first' } as const;
    await until(async () => (await a.ask(first)).text.includes('"xfcc":null'));
    // For DISABLE_SETTLES_MS the mesh's own TLS is looked for, and no TLS of the app passes; b has two workers.
    const appTls = { kind: 'tls', address: service, port: 8443, say: 'question' } as const;
    const deadline = performance.now() + 3 * DISABLE_SETTLES_MS;
    for (let passed = 0; passed < CONNECTIONS_TO_BOTH && performance.now() < deadline; ) {
      passed = (await a.ask(appTls)).text === '' ? 0 : passed + 1;
    }
    for (const [family, at] of Object.entries(FAMILIES)) {
      const suffix = family.slice(2).toLowerCase();
      const http = {
        kind: 'http',
        address: at.service,
        port: 80,
        host: `b${suffix}`,
        path: `/disabled-${suffix}`,
      } as const;
      await until(async () => (await a.ask(http)).text.includes('"xfcc":null'));
      t.match(JSON.parse((await a.ask(http)).text), { port: 8080, xfcc: null }, family);
      t.ok(await b.logged({ direction: 'inbound', path: http.path, port: 8080, source: null, sourceIp: at.a }));
      const tcp = await a.ask({ kind: 'tcp', address: at.service, port: 5432, say: 'question' });
      t.match(tcp.text, /^hello [^\n]+\necho question$/, 'the server speaks first');
      t.ok((tcp.firstByteMs ?? 9_999) < 900, `no detection timeout: ${tcp.firstByteMs} ms`);
      t.ok(await b.logged({ direction: 'inbound', method: null, port: 5432, source: null }));
      const tls = await a.ask({ kind: 'tls', address: at.service, port: 8443, say: 'question' });
      t.match(tls.text, /^hello [^\n]+\necho question$/, 'TLS of the app');
      const own = { kind: 'http', address: at.own, port: 80, host: `a${suffix}`, path: `/own-${suffix}` } as const;
      t.match(JSON.parse((await a.ask(own)).text), { port: 8080, xfcc: null });
      t.ok(await a.logged({ direction: 'inbound', path: own.path, port: 8080, source: null }), 'by the own inbound');
      const ownTcp = await a.ask({ kind: 'tcp', address: at.own, port: 5432, say: 'question' });
      t.match(ownTcp.text, /^hello [^\n]+\necho question$/);
      t.ok(await a.logged({ direction: 'inbound', method: null, port: 5432, source: null }));
      const outside = { kind: 'http', address: at.outside, port: 80, host: `outside${suffix}`, path: '/past' } as const;
      t.match(JSON.parse((await a.ask(outside)).text), { port: 7004, xfcc: null }, 'outside of the mesh as before');
    }
  });

  t.test('only to addresses of the pod is anything relayed, also to one that it got later', async (t) => {
    const address = '192.0.2.7';
    const link = a.run('cat', '/sys/class/net/eth0/address').trim();
    b.run('ip', 'neighbour', 'replace', address, 'lladdr', link, 'dev', 'eth0');
    const question = { kind: 'http', address, port: 8080, path: '/later' } as const;
    t.ok((await b.askAsProxy(question)).error);
    t.notOk(
      a.lines.some(({ path }) => path === '/later'),
      'nothing was tried',
    );
    a.run('ip', 'address', 'add', `${address}/32`, 'dev', 'eth0');
    await until(async () => (await b.askAsProxy(question)).status === 200);
    t.ok(await a.logged({ direction: 'inbound', path: '/later', status: 200 }));
  });

  t.test('nothing but what operators should know is said on stderr', async (t) => {
    t.same(
      [...a.events, ...b.events].filter((line) => /Warning/.test(line)),
      [],
    );
  });
});
