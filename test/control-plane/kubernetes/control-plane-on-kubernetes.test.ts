import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { judgeObject } from '#control-plane/kubernetes/resources/judge-object.ts';
import { type RunningControlPlane, startControlPlane } from '#control-plane/start-control-plane.ts';
import type { TravellingForm } from '#policy/resource/kinds/api-schema.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { documentTextOf, travellingDocument } from '#policy/validation/travelling-document.ts';
import { type ControlPlaneConnection, connectControlPlane } from '#sidecar/control/connect-control-plane.ts';
import { ApiServer, noApiServer } from '../../support/api-server.ts';
import { type Event, eventually, MESH } from '../control-plane-fixture.ts';

/** The client side of a sidecar, which takes all that it is sent. */
class TestSidecar {
  version = '';
  readonly #connection: ControlPlaneConnection;
  #documents = new Map<string, string>();

  constructor(connection: ControlPlaneConnection) {
    this.#connection = connection;
    const started = connection.policies.start(async ({ version, resources }) => {
      this.version = version;
      this.#documents = new Map(resources.map(({ key, document }) => [key, document]));
    });
    started.catch(() => {}); // closed before anything was in force
  }

  keys(): readonly string[] {
    return [...this.#documents.keys()].sort();
  }

  has(key: string): boolean {
    return this.#documents.has(key);
  }

  spec(key: string): unknown {
    const document: unknown = JSON.parse(this.#documents.get(key) ?? 'null');
    return isRecord(document) ? document.spec : undefined;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

const BASE = `
{apiVersion: v1, kind: Namespace, metadata: {name: lateral-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: orders, namespace: shop}}
---
{apiVersion: v1, kind: Secret, metadata: {name: lateral-ca, namespace: lateral-system}, type: Opaque}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: lateral-control-plane, namespace: lateral-system}}
---
apiVersion: v1
kind: Pod
metadata:
  name: orders-1
  namespace: shop
  labels: {app: orders}
  annotations: {lateral.dev/injected: '{"version":"1","interception":"redirect","inbound":{}}'}
spec: {serviceAccountName: orders, containers: [{name: app, image: app}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-a, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.244.0.7], conditions: {ready: true}, targetRef: {kind: Pod, name: orders-1, namespace: shop}}]
---
apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: allow-web, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {principals: ["cluster.local/ns/shop/sa/web"]}}]}]
`;

/** A ConfigMap ends at 1 MiB: a key and the other fields want a little of it. */
const LARGEST_CONFIG_MAP_VALUE = 1024 * 1024 - 1024;

/** An OpenAPI description of that many characters, and an operation for each 10,000 of them. */
function longDescription(length: number): string {
  const paths: { [path: string]: unknown } = {};
  const description = (text: string) => ({ get: { description: text, responses: { 200: { description: 'ok' } } } });
  const print = () => JSON.stringify({ openapi: '3.0.3', info: { title: 'long', version: '1' }, paths });
  for (let index = 0; index < length / 10_000 - 1; index += 1) paths[`/p${index}`] = description('x'.repeat(9_900));
  paths['/last'] = description('');
  paths['/last'] = description('x'.repeat(length - print().length));
  return print();
}

t.setTimeout(280_000);

t.test('a control plane on a real API server', { skip: noApiServer ?? false, timeout: 240_000 }, async (t) => {
  const directory = t.testdir();
  const api = new ApiServer(directory);
  t.teardown(() => api.stop());
  await api.start();
  await api.installCrds();
  await api.apply(BASE);
  // as the kubelet would
  await api.patch('/api/v1/namespaces/shop/pods/orders-1/status', {
    status: { phase: 'Running', podIP: '10.244.0.7', podIPs: [{ ip: '10.244.0.7' }] },
  });
  process.env.KUBECONFIG = api.kubeconfig;
  const events: Event[] = [];
  const problems: string[] = [];
  const start = () =>
    startControlPlane(
      {
        mesh: MESH,
        listen: { address: '127.0.0.1', port: 0 },
        source: { kind: 'kubernetes', clusterDomain: 'cluster.local' },
        authority: { kind: 'kubernetesSecret', name: 'lateral-ca' },
        meshDefaults: undefined,
        tokenDirectory: undefined,
        statusPort: 0,
        metrics: { address: '127.0.0.1', port: 0 },
        webhook: undefined,
        injection: undefined,
        hasUnusedInventory: false,
      },
      {
        log: (event, fields = {}) => events.push({ event, fields }),
        printProblems: (lines) => problems.push(...lines),
      },
    );
  const running: RunningControlPlane = await start();
  t.teardown(() => running.close());

  const conditions = async (plural: string, name: string): Promise<{ readonly [type: string]: string }> => {
    const object = await api.client.request(`/apis/lateral.dev/v1alpha1/namespaces/shop/${plural}/${name}`);
    const status = isRecord(object) && isRecord(object.status) ? object.status : {};
    const list = Array.isArray(status.conditions) ? status.conditions : [];
    return Object.fromEntries(list.map((one) => [one.type, `${one.status} ${one.reason} ${one.message}`]));
  };
  const token = async (audience: string, pod?: string) => {
    const found = pod === undefined ? undefined : await api.client.request(`/api/v1/namespaces/shop/pods/${pod}`);
    const uid = isRecord(found) && isRecord(found.metadata) ? found.metadata.uid : undefined;
    const answer = await api.client.request('/api/v1/namespaces/shop/serviceaccounts/orders/token', {
      method: 'POST',
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          audiences: [audience],
          expirationSeconds: 600,
          ...(pod === undefined ? {} : { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod, uid } }),
        },
      },
    });
    const path = join(directory, `token-${Math.random().toString(36).slice(2)}`);
    await writeFile(path, String(isRecord(answer) && isRecord(answer.status) ? answer.status.token : ''));
    return path;
  };
  const connect = async (tokenFile: string, name = 'orders-1', signal = AbortSignal.timeout(20_000)) => {
    const connection = await connectControlPlane({
      address: running.address,
      trustBundlePem: running.trustBundlePem,
      tokenFile,
      workload: { name, namespace: 'shop', serviceAccount: 'orders', labels: { app: 'not-what-the-pod-has' } },
      mesh: MESH,
      ports: [8080],
      stateDirectory: undefined,
      log: () => {},
      signal,
    });
    return new TestSidecar(connection);
  };

  t.test('probes tell that it is ready', async (t) => {
    const get = (path: string) => fetch(`http://127.0.0.1:${running.metricsPort}${path}`);
    t.equal((await get('/readyz')).status, 200);
    t.match(await (await get('/metrics')).text(), /kubernetes_watching\{resource="pods"\} 1/);
  });

  t.test('a sidecar proves itself by a projected token and gets the policies of its Pod', async (t) => {
    const sidecar = await connect(await token('lateral-control-plane', 'orders-1'));
    t.teardown(() => sidecar.close());
    await eventually('the policy is there', () => sidecar.has('AuthorizationPolicy/shop/allow-web'), 10_000);
    t.match(sidecar.spec('MeshService/shop/orders'), {
      hosts: ['orders', 'orders.shop', 'orders.shop.svc', 'orders.shop.svc.cluster.local', /^10\.96\./],
      ports: [{ port: 80, name: 'http', protocol: 'http' }],
      endpoints: [{ address: '10.244.0.7', port: 8080, serviceAccount: 'orders', labels: { app: 'orders' } }],
    });
    await eventually(
      'the status tells so',
      async () =>
        /^True Programmed 1 of 1/.test((await conditions('authorizationpolicies', 'allow-web')).Programmed ?? ''),
      10_000,
    );
    t.match(await conditions('authorizationpolicies', 'allow-web'), {
      Accepted: /^True Accepted/,
      MatchedWorkloads: /^True Matched 1 Pods/,
    });

    t.test('a change of labels changes what binds it', async (t) => {
      await api.create(policy('allow-canary', { selector: { matchLabels: { track: 'canary' } }, rules: [{}] }));
      await eventually(
        'it matches nothing',
        async () =>
          /^False NoWorkload No Pod/.test(
            (await conditions('authorizationpolicies', 'allow-canary')).MatchedWorkloads ?? '',
          ),
        10_000,
      );
      t.notOk(sidecar.has('AuthorizationPolicy/shop/allow-canary'));
      const startedAtMs = performance.now();
      await api.patch('/api/v1/namespaces/shop/pods/orders-1', { metadata: { labels: { track: 'canary' } } });
      await eventually('it has the policy', () => sidecar.has('AuthorizationPolicy/shop/allow-canary'));
      t.ok(performance.now() - startedAtMs < 2_000, 'within two seconds');
    });

    t.test('a broken resource keeps its last good form; all others go on', async (t) => {
      const path = '/apis/lateral.dev/v1alpha1/namespaces/shop/authorizationpolicies/allow-web';
      const before = JSON.stringify(sidecar.spec('AuthorizationPolicy/shop/allow-web'));
      await api.patch(path, { spec: { rules: [{ when: [{ key: 'no.such.key', values: ['x'] }] }] } });
      await api.create(policy('allow-late', { rules: [{}] }));
      await eventually('the other is in force', () => sidecar.has('AuthorizationPolicy/shop/allow-late'));
      t.equal(JSON.stringify(sidecar.spec('AuthorizationPolicy/shop/allow-web')), before);
      await eventually(
        'the status says why',
        async () =>
          /^False Invalid Its last good form stays in force\. \d+:\d+: invalid_value spec\.rules\[0\]\.when/.test(
            (await conditions('authorizationpolicies', 'allow-web')).Accepted ?? '',
          ),
        10_000,
      );
    });

    t.test('a DENY policy that never was good refuses everything to its workloads, until it is mended', async (t) => {
      const broken = {
        selector: { matchLabels: { app: 'orders' } },
        action: 'DENY',
        rules: [{ when: [{ key: 'no.such.key', values: ['x'] }] }],
      };
      await api.create(policy('deny-admin', broken));
      await eventually('it stands in', () => sidecar.has('AuthorizationPolicy/shop/deny-admin'));
      t.strictSame(sidecar.spec('AuthorizationPolicy/shop/deny-admin'), {
        selector: { matchLabels: { app: 'orders' } },
        action: 'DENY',
        rules: [{}],
      });
      await api.patch('/apis/lateral.dev/v1alpha1/namespaces/shop/authorizationpolicies/deny-admin', {
        spec: { rules: [{ to: [{ operation: { paths: ['/admin'] } }] }] },
      });
      await eventually('it is what it says', () =>
        /admin/.test(JSON.stringify(sidecar.spec('AuthorizationPolicy/shop/deny-admin'))),
      );
    });

    t.test('an API description comes from ConfigMaps, and stays while a policy needs it', async (t) => {
      const text =
        'openapi: 3.0.3\ninfo: {title: orders, version: "1"}\npaths:\n  /orders: {get: {responses: {"200": {description: ok}}}}\n';
      await api.create({
        apiVersion: 'lateral.dev/v1alpha1',
        kind: 'APISchema',
        metadata: { name: 'orders', namespace: 'shop' },
        spec: {
          openapi: {
            configMapRefs: [
              { name: 'api', key: 'a' },
              { name: 'api', key: 'b' },
            ],
          },
        },
      });
      await api.create({
        apiVersion: 'lateral.dev/v1alpha1',
        kind: 'APIValidationPolicy',
        metadata: { name: 'orders', namespace: 'shop' },
        spec: { selector: { matchLabels: { app: 'orders' } }, schemaRefs: ['orders'] },
      });
      await eventually(
        'its absence is told',
        async () =>
          /^False ReferenceNotFound .*ConfigMap api is not in namespace shop/.test(
            (await conditions('apischemas', 'orders')).Accepted ?? '',
          ),
        10_000,
      );
      t.notOk(sidecar.has('APIValidationPolicy/shop/orders'));
      await api.create({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'api', namespace: 'shop' },
        data: { a: text.slice(0, 40), b: text.slice(40) },
      });
      await eventually(
        'both are there',
        () => sidecar.has('APISchema/shop/orders') && sidecar.has('APIValidationPolicy/shop/orders'),
      );
      t.strictSame(sidecar.spec('APISchema/shop/orders'), { openapi: { inline: travellingDocument(text) } });
      const version = sidecar.version;
      await api.client.request('/apis/lateral.dev/v1alpha1/namespaces/shop/apischemas/orders', { method: 'DELETE' });
      await eventually(
        'the policy says that it is missing',
        async () =>
          /^False ReferenceNotFound Its last good form/.test(
            (await conditions('apivalidationpolicies', 'orders')).Accepted ?? '',
          ),
        10_000,
      );
      t.equal(sidecar.version, version, 'and nothing has changed for the sidecar');
      const path = '/apis/lateral.dev/v1alpha1/namespaces/shop/apivalidationpolicies/orders';
      await api.client.request(path, { method: 'DELETE' });
      await eventually('without the policy the description is of no use', () => !sidecar.has('APISchema/shop/orders'));
    });

    t.test('a description that fills two ConfigMaps reaches the sidecar whole', async (t) => {
      const text = longDescription(2 * LARGEST_CONFIG_MAP_VALUE - 100);
      const parts = [text.slice(0, LARGEST_CONFIG_MAP_VALUE), text.slice(LARGEST_CONFIG_MAP_VALUE)];
      for (const [index, k] of parts.entries()) {
        const metadata = { name: `long-${index}`, namespace: 'shop' };
        await api.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { k } });
      }
      const configMapRefs = parts.map((_, index) => ({ name: `long-${index}`, key: 'k' }));
      await api.create({ ...policy('long', { openapi: { configMapRefs } }), kind: 'APISchema' });
      await api.create({ ...policy('long', { schemaRefs: ['long'] }), kind: 'APIValidationPolicy' });
      await eventually('it is there', () => sidecar.has('APISchema/shop/long'), 20_000);
      const { openapi } = sidecar.spec('APISchema/shop/long') as { openapi: TravellingForm };
      t.ok(documentTextOf(openapi) === travellingDocument(text));

      const other = 'openapi: 3.0.3\ninfo: {title: other, version: "1"}\npaths: {/p0: {get: {responses: {}}}}\n';
      await api.create({ ...policy('other', { openapi: { inline: other } }), kind: 'APISchema' });
      await api.patch('/apis/lateral.dev/v1alpha1/namespaces/shop/apivalidationpolicies/long', {
        spec: { schemaRefs: ['long', 'other'] },
      });
      await eventually(
        'two descriptions of one operation are refused',
        async () =>
          /^False \w+ Its last good form .*GET \/p0 is in two documents, long and other/.test(
            (await conditions('apivalidationpolicies', 'long')).Accepted ?? '',
          ),
        20_000,
      );
      t.match(sidecar.spec('APIValidationPolicy/shop/long'), { schemaRefs: ['long'] });
      t.notOk(sidecar.has('APISchema/shop/other'));
      for (const one of ['apivalidationpolicies/long', 'apischemas/long', 'apischemas/other']) {
        await api.client.request(`/apis/lateral.dev/v1alpha1/namespaces/shop/${one}`, { method: 'DELETE' });
      }
    });

    t.test('a MeshService cannot take the host of a Service', async (t) => {
      await api.create({
        apiVersion: 'lateral.dev/v1alpha1',
        kind: 'MeshService',
        metadata: { name: 'another', namespace: 'shop' },
        spec: { hosts: ['orders'], endpoints: [{ address: '127.0.0.1', port: 1, serviceAccount: 'web' }] },
      });
      await eventually(
        'the conflict is told',
        async () =>
          /^False Conflicted .*already claimed by Service shop\/orders/.test(
            (await conditions('meshservices', 'another')).Accepted ?? '',
          ),
        10_000,
      );
      t.notOk(sidecar.has('MeshService/shop/another'));
    });

    t.test('the webhook hears the words of lateral check, and what may yet come is a warning', async (t) => {
      const { view } = running;
      if (view === undefined) throw new Error('no view');
      const wrong = judgeObject(policy('x', { action: 'ALOW' }), view);
      t.match(wrong.errors, [{ file: 'AuthorizationPolicy/shop/x', message: /did you mean ALLOW\?/ }]);
      const early = judgeObject({ ...policy('y', { schemaRefs: ['later'] }), kind: 'APIValidationPolicy' }, view);
      t.strictSame(early.errors, []);
      t.match(early.warnings, [{ code: 'unknown_reference', severity: 'warning' }]);
      const nobody = judgeObject(policy('z', { selector: { matchLabels: { app: 'nobody' } }, rules: [{}] }), view);
      t.match(nobody.warnings, [{ code: 'no_workload', message: /matches no Pod of namespace shop/ }]);
      const orders = { matchLabels: { app: 'orders' } };
      const late = judgeObject(policy('late', { selector: orders, rules: [{}] }), view);
      t.match(late.warnings, [{ code: 'shadowed_rule', message: /shop\/allow-late/ }], 'beside what is in force');
      const rules = [{ to: [{ operation: { paths: ['/private'] } }] }];
      const good = policy('good', { selector: orders, action: 'DENY', rules });
      t.strictSame(judgeObject(good, view), { errors: [], warnings: [] });
    });

    t.test(
      'while the API server is away nothing changes; after it, and a compaction, what was missed comes',
      async (t) => {
        const before = sidecar.keys();
        await api.stopServer();
        await eventually(
          'the watch ended',
          () => events.some(({ event }) => event === 'kubernetes_watch_failed'),
          20_000,
        );
        t.strictSame(sidecar.keys(), before);
        await api.startServer();
        await api.compact();
        await api.createWhenServed(policy('after-outage', { rules: [{}] }));
        await eventually('the change is there', () => sidecar.has('AuthorizationPolicy/shop/after-outage'), 60_000);
        t.strictSame(sidecar.keys(), [...before, 'AuthorizationPolicy/shop/after-outage'].sort());
      },
    );
  });

  t.test('a token for another audience, or of no pod, proves nothing', async (t) => {
    for (const [file, reason] of [
      [await token('somebody-else', 'orders-1'), /refuses the token|not for the audience/],
      [await token('lateral-control-plane'), /not bound to a pod/],
    ] as const) {
      const before = events.length;
      await connect(file, 'orders-1', AbortSignal.timeout(3_000)).then(
        () => t.fail('it was let in'),
        () => t.pass('refused'),
      );
      t.match(
        events.slice(before).filter(({ event }) => event === 'signing_refused'),
        [{ fields: { reason } }],
      );
    }
  });

  t.test('a sidecar of a pod that nobody knows is sent away to come again', async (t) => {
    const sidecar = await connect(await token('lateral-control-plane', 'orders-1'), 'orders-of-nobody');
    t.teardown(() => sidecar.close());
    const reason = /no Pod shop\/orders-of-nobody is known/;
    await eventually(
      'it is refused',
      () => events.some(({ event, fields }) => event === 'sidecar_disconnected' && reason.test(String(fields.reason))),
      10_000,
    );
    await api.create({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'orders-of-nobody', namespace: 'shop', labels: { app: 'orders' } },
      spec: { serviceAccountName: 'orders', containers: [{ name: 'app', image: 'app' }] },
    });
    await eventually(
      'once the pod is there it has its policies',
      () => sidecar.has('AuthorizationPolicy/shop/allow-web'),
      30_000,
    );
  });

  t.test('kinds that appear later are watched, and what is wrong with them is no silence', async () => {
    await api.apply(ISTIO_CRD);
    await api.createWhenServed({
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: 'jwt', namespace: 'shop' },
      spec: { jwtRules: [{ issuer: 'x', jwks: 'none' }] },
    });
    await eventually(
      'it is named',
      () => problems.some((line) => /RequestAuthentication\/shop\/jwt.*the keys are not JSON/.test(line)),
      40_000,
    );
  });

  t.test('a second replica has the same authority and law; one of both leads, and the other takes over', async (t) => {
    const second = await start();
    t.teardown(() => second.close());
    t.equal(second.trustBundlePem, running.trustBundlePem);
    await eventually('the same law', () => second.policyVersion() === running.policyVersion());
    const leader = async () => {
      const lease = await api.client.request(
        '/apis/coordination.k8s.io/v1/namespaces/lateral-system/leases/lateral-control-plane',
      );
      return isRecord(lease) && isRecord(lease.spec) ? lease.spec.holderIdentity : undefined;
    };
    const first = await leader();
    t.ok(first);
    await running.close();
    await eventually('the other leads', async () => ![undefined, '', first].includes(await leader()), 20_000);
  });
});

function policy(name: string, spec: unknown) {
  return {
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace: 'shop' },
    spec,
  };
}

const ISTIO_CRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: requestauthentications.security.istio.io}
spec:
  group: security.istio.io
  names: {kind: RequestAuthentication, plural: requestauthentications}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`;
