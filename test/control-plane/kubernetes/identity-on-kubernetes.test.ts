import { execFileSync } from 'node:child_process';
import { createPrivateKey, createSign, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { ROOT_REMOVED_GRACE_MS } from '#control-plane/grpc/caller-proofs.ts';
import { type RunningControlPlane, startControlPlane } from '#control-plane/start-control-plane.ts';
import type { Code } from '#policy/error/codes.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Workload } from '#policy/workload-policy.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { type ControlPlaneConnection, connectControlPlane } from '#sidecar/control/connect-control-plane.ts';
import { ApiServer, noApiServer } from '../../support/api-server.ts';
import { type Event, eventually, MESH } from '../control-plane-fixture.ts';

/** Short, so that renewals and the end of a leaf are seen: renewed at half of it. */
const LEAF_LIFETIME_MS = 10_000;
const ROOT = '/api/v1/namespaces/lateral-system';
const SHOP = '/api/v1/namespaces/shop';

const pod = (name: string, serviceAccount: string) =>
  `{apiVersion: v1, kind: Pod, metadata: {name: ${name}, namespace: shop}, spec: {serviceAccountName: ${serviceAccount}, containers: [{name: app, image: app}]}}`;
const BASE = [
  '{apiVersion: v1, kind: Namespace, metadata: {name: lateral-system}}',
  '{apiVersion: v1, kind: Namespace, metadata: {name: shop}}',
  '{apiVersion: v1, kind: ServiceAccount, metadata: {name: orders, namespace: shop}}',
  '{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}',
  '{apiVersion: v1, kind: Secret, metadata: {name: mesh-ca, namespace: lateral-system}, type: kubernetes.io/tls, data: {tls.crt: "", tls.key: ""}}',
  '{apiVersion: v1, kind: Secret, metadata: {name: lateral-former-authorities, namespace: lateral-system}, type: Opaque}',
  '{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: lateral-control-plane, namespace: lateral-system}}',
  pod('orders-1', 'orders'),
  pod('orders-2', 'orders'),
  pod('orders-gone', 'orders'),
  pod('web-1', 'web'),
].join('\n---\n');

t.setTimeout(280_000);

t.test('identities on a real API server', { skip: noApiServer ?? false, timeout: 240_000 }, async (t) => {
  const directory = t.testdir();
  const api = new ApiServer(directory);
  t.teardown(() => api.stop());
  await api.start();
  await api.installCrds();
  await api.apply(BASE);
  const authority = certManager(directory);
  const replace = (data: { readonly [key: string]: string }) => api.patch(`${ROOT}/secrets/mesh-ca`, { data });
  await replace(authority('first'));
  process.env.KUBECONFIG = api.kubeconfig;
  const events: Event[] = [];
  const start = (): Promise<RunningControlPlane> =>
    startControlPlane(
      {
        mesh: MESH,
        listen: { address: '127.0.0.1', port: 0 },
        source: { kind: 'kubernetes', clusterDomain: 'cluster.local' },
        authority: { kind: 'kubernetesSecret', name: 'mesh-ca' },
        meshDefaults: undefined,
        tokenDirectory: undefined,
        statusPort: undefined,
        metrics: undefined,
        webhook: undefined,
        injection: undefined,
        hasUnusedInventory: false,
      },
      {
        leafLifetimeMs: LEAF_LIFETIME_MS,
        log: (event, fields = {}) => events.push({ event, fields }),
        printProblems: () => {},
      },
    );
  const running = await start();
  t.teardown(() => running.close());
  const firstBundle = running.trustBundlePem;

  const projected = async (serviceAccount: string, podName: string, audience = 'lateral-control-plane') => {
    const found = await api.client.request(`${SHOP}/pods/${podName}`);
    const uid = isRecord(found) && isRecord(found.metadata) ? found.metadata.uid : undefined;
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: podName, uid };
    const answer = await api.client.request(`${SHOP}/serviceaccounts/${serviceAccount}/token`, {
      method: 'POST',
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [audience], expirationSeconds: 600, boundObjectRef },
      },
    });
    return String(isRecord(answer) && isRecord(answer.status) ? answer.status.token : '');
  };
  const open: ControlPlaneConnection[] = [];
  t.teardown(() => Promise.all(open.map((connection) => connection.close())));
  let files = 0;
  const connect = async (
    token: string,
    workload: Pick<Workload, 'name' | 'serviceAccount'> = { name: 'orders-1', serviceAccount: 'orders' },
    { signal = AbortSignal.timeout(20_000), trustBundlePem = firstBundle } = {},
  ) => {
    files += 1;
    const tokenFile = join(directory, `token-${files}`);
    writeFileSync(tokenFile, token);
    const connection = await connectControlPlane({
      address: running.address,
      trustBundlePem,
      tokenFile,
      workload: { ...workload, namespace: 'shop', labels: {} },
      mesh: MESH,
      ports: [8080],
      stateDirectory: undefined,
      log: (event, fields) => events.push({ event: `sidecar ${event}`, fields: { ...fields } }),
      signal,
    });
    open.push(connection);
    return connection;
  };
  /** Tries until the control plane has refused it with this code and reason, and the sidecar has said so. */
  const refused = async (
    token: string,
    code: Code,
    reason: RegExp,
    workload?: Parameters<typeof connect>[1],
  ): Promise<void> => {
    const before = events.length;
    const ending = new AbortController();
    const attempt = connect(token, workload, { signal: ending.signal }).then(
      () => {
        t.fail(`let in, though ${reason}`);
      },
      () => {},
    );
    const said = (what: string) =>
      events
        .slice(before)
        .some(
          ({ event, fields }) => event === what && fields['code'] === code && reason.test(String(fields['reason'])),
        );
    await eventually(`refused: ${code} ${reason}`, () => said('signing_refused'), 20_000);
    await eventually(`told: ${code}`, () => said('sidecar waiting_for_certificate'), 20_000);
    ending.abort();
    await attempt;
  };

  t.test('a token that has expired, or is for others, proves nothing', async () => {
    const good = await projected('orders', 'orders-1');
    await refused(
      resigned(directory, good, { exp: Math.floor(Date.now() / 1000) - 60 }),
      'token_expired',
      /refuses the token/,
    );
    await refused(
      resigned(directory, good, { nbf: Math.floor(Date.now() / 1000) + 3_600 }),
      'token_unknown',
      /refuses the token/,
    );
    await refused(`${good.slice(0, -8)}AAAAAAAA`, 'token_unknown', /refuses the token/);
    await refused(
      await projected('orders', 'orders-1', 'somebody-else'),
      'token_wrong_audience',
      /not for the audience/,
    );
  });

  t.test("a token proves its own pod's service account and no other", async () => {
    const token = await projected('web', 'web-1');
    await refused(
      token,
      'identity_mismatch',
      /is for spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web, and the sidecar expects .*sa\/orders/,
    );
  });

  t.test('a sidecar of one service account is not served as a Pod of another', async (t) => {
    const token = await projected('orders', 'orders-1');
    const connection = await connect(token, { name: 'web-1', serviceAccount: 'orders' });
    const started = connection.policies.start(async () => {
      t.fail('it was sent policies');
    });
    started.catch(() => {}); // it is closed before anything is in force
    const reason = /Pod shop\/web-1 is of service account web, and the certificate proves orders/;
    await eventually('it is told so', () =>
      events.some(({ event, fields }) => event === 'sidecar_disconnected' && reason.test(String(fields['reason']))),
    );
    await connection.close();
  });

  t.test('a token outlives its pod by no moment', async () => {
    const token = await projected('orders', 'orders-gone');
    await api.client.request(`${SHOP}/pods/orders-gone`, { method: 'DELETE', query: { gracePeriodSeconds: '0' } });
    await refused(token, 'token_unknown', /refuses the token/, { name: 'orders-gone', serviceAccount: 'orders' });
  });

  t.test('while the API server is away sidecars renew, and who comes by a token hears why not', async (t) => {
    const token = await projected('orders', 'orders-2');
    const connection = await connect(await projected('orders', 'orders-1'));
    await connection.policies.start(async () => {});
    await api.stopServer();
    const first = connection.credentials.current();
    await refused(token, 'token_review_unavailable', /the Kubernetes API cannot review the token now/, {
      name: 'orders-2',
      serviceAccount: 'orders',
    });
    await eventually('it was renewed', () => connection.credentials.current() !== first, 2 * LEAF_LIFETIME_MS);
    await api.startServer();
    t.ok(await connect(token, { name: 'orders-2', serviceAccount: 'orders' }), 'the same token is good afterwards');
    for (const one of open.splice(0)) await one.close();
  });

  t.test("cert-manager's Secret is replaced while sidecars run, and they trust each other throughout", async (t) => {
    const [orders, web] = [
      await connect(await projected('orders', 'orders-1')),
      await connect(await projected('web', 'web-1'), { name: 'web-1', serviceAccount: 'web' }),
    ];
    await Promise.all([orders, web].map(({ policies }) => policies.start(async () => {})));
    const strangers: string[] = [];
    const watch = setInterval(() => {
      for (const [one, other] of [
        [orders, web],
        [web, orders],
      ] as const) {
        const { certificateChainPem } = one.credentials.current();
        if (!isTrusted(certificateChainPem, other.credentials.current().trustBundlePem))
          strangers.push(certificateChainPem);
      }
    }, 50);
    t.teardown(() => clearInterval(watch));
    const issuedBy = (connection: ControlPlaneConnection) =>
      new X509Certificate(connection.credentials.current().certificateChainPem).issuer;
    t.match(issuedBy(orders), /first issuer/);

    await replace(authority('first-renewed', 'first'));
    await eventually(
      'the new issuer signs',
      () => [orders, web].every((one) => /first-renewed/.test(issuedBy(one))),
      30_000,
    );
    t.equal(running.trustBundlePem, firstBundle, 'under the same root it signs at once');

    await replace(authority('second'));
    await eventually(
      'both roots are handed out',
      () => certificatesFromPem(running.trustBundlePem).length === 2,
      20_000,
    );
    const restarted = await start();
    t.teardown(() => restarted.close());
    t.strictSame(
      sorted(restarted.trustBundlePem),
      sorted(running.trustBundlePem),
      'a replica that starts then goes on so',
    );
    await eventually(
      'the second root signs',
      () => [orders, web].every((one) => /second issuer/.test(issuedBy(one))),
      60_000,
    );
    const late = await connect(
      await projected('orders', 'orders-2'),
      { name: 'orders-2', serviceAccount: 'orders' },
      { trustBundlePem: running.trustBundlePem },
    );
    t.ok(isTrusted(orders.credentials.current().certificateChainPem, late.credentials.current().trustBundlePem));

    const before = events.length;
    await api.patch(`${ROOT}/secrets/lateral-former-authorities`, { data: null });
    await eventually(
      'the former root is withdrawn by all replicas',
      () => [running, restarted].every((one) => certificatesFromPem(one.trustBundlePem).length === 1),
      20_000,
    );
    const names = (event: string) => events.slice(before).filter((one) => one.event === event).length;
    // those whose stream has yet to move to the connection of their present certificate are cut off, and come back with it
    await wait(2 * ROOT_REMOVED_GRACE_MS);
    await eventually(
      'all are connected',
      () => names('sidecar control_plane_connected') >= names('sidecar control_plane_lost'),
      20_000,
    );
    t.strictSame(strangers, [], 'at no time did one sidecar not know the other');
    t.notOk(
      events.some(({ event }) => event === 'sidecar certificate_expired'),
      'and no certificate ran out',
    );
  });
});

function sorted(bundlePem: string): readonly string[] {
  return certificatesFromPem(bundlePem)
    .map((der) => der.toString('base64'))
    .sort();
}

/** Whether a chain, leaf first, leads to a root of the bundle. */
function isTrusted(chainPem: string, bundlePem: string): boolean {
  const roots = certificatesFromPem(bundlePem).map((der) => new X509Certificate(der));
  const chain = certificatesFromPem(chainPem).map((der) => new X509Certificate(der));
  return chain.every((certificate, index) => {
    const above = index + 1 < chain.length ? chain.slice(index + 1, index + 2) : roots;
    return above.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
  });
}

/** The same token with other claims, signed by the API server's own key. */
function resigned(directory: string, token: string, claims: { readonly [name: string]: unknown }): string {
  const [header = '', payload = ''] = token.split('.');
  const before: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const body = Buffer.from(JSON.stringify({ ...(isRecord(before) ? before : {}), ...claims })).toString('base64url');
  const key = createPrivateKey(readFileSync(join(directory, 'sa.key')));
  return `${header}.${body}.${createSign('RSA-SHA256').update(`${header}.${body}`).sign(key, 'base64url')}`;
}

/**
 * What cert-manager puts into the Secret of a Certificate with `isCA: true` that a root of its own has signed: `tls.crt` the issuer,
 * `ca.crt` the root, an RSA key in PKCS #1, its default. Values in base64; `root`: one made before.
 */
function certManager(directory: string): (name: string, root?: string) => { readonly [key: string]: string } {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'ignore' });
  const read = (file: string) => readFileSync(join(directory, file)).toString('base64');
  const ca = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
  return (name, root) => {
    const signer = root ?? name;
    if (root === undefined) {
      openssl(
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '90', '-subj', `/CN=${name} root`, ...ca],
        ...['-keyout', `${name}-root.key`, '-out', `${name}-root.crt`],
      );
    }
    openssl(
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '60', '-subj', `/CN=${name} issuer`, ...ca],
      ...['-CA', `${signer}-root.crt`, '-CAkey', `${signer}-root.key`],
      ...['-keyout', `${name}.pkcs8`, '-out', `${name}.crt`],
    );
    openssl('rsa', '-in', `${name}.pkcs8`, '-traditional', '-out', `${name}.key`);
    return { 'tls.crt': read(`${name}.crt`), 'tls.key': read(`${name}.key`), 'ca.crt': read(`${signer}-root.crt`) };
  };
}
