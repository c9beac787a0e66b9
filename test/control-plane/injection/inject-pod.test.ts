import t from 'tap';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import { objectAt, objectsAt } from '#control-plane/injection/json-object.ts';
import { injectionSettings } from './settings.ts';

const settings = injectionSettings();

interface PodParts {
  readonly annotations?: object;
  readonly labels?: object;
  readonly spec?: object;
}

function pod({ annotations = {}, labels = {}, spec = {} }: PodParts = {}) {
  return {
    metadata: { name: 'web', annotations, labels },
    spec: { containers: [{ name: 'web', image: 'web:1' }], ...spec },
  };
}

function complaintsOf(parts: PodParts): readonly string[] {
  const outcome = injectPod(pod(parts), 'shop', settings);
  return outcome.kind === 'refused' ? outcome.complaints : [outcome.kind];
}

t.test('what is never injected', async (t) => {
  const skipped = (parts: PodParts, namespace = 'shop') => {
    const outcome = injectPod(pod(parts), namespace, settings);
    return outcome.kind === 'skipped' ? outcome.reason : outcome.kind;
  };
  for (const namespace of ['kube-system', 'kube-public', 'kube-node-lease', 'lateral-system']) {
    t.match(skipped({}, namespace), /never injected/, namespace);
  }
  t.equal(skipped({ labels: { 'lateral.dev/inject': 'false' } }), 'lateral.dev/inject says so');
  t.equal(skipped({ annotations: { 'lateral.dev/inject': 'disabled' } }), 'lateral.dev/inject says so');
  t.equal(skipped({ spec: { os: { name: 'windows' } } }), 'a pod of Windows');
  t.equal(skipped({ annotations: { 'kubernetes.io/config.mirror': 'x' } }), 'a mirror of a static pod');
  t.match(injectPod(pod({ spec: { hostNetwork: true } }), 'shop', settings), {
    kind: 'skipped',
    warnings: [/^not made part of the mesh: with hostNetwork/],
  });
});

t.test('the names by which other meshes are told to keep out are understood, and ours goes before them', async (t) => {
  const kind = (annotations: object, labels: object = {}) =>
    injectPod(pod({ annotations, labels }), 'shop', settings).kind;
  t.equal(kind({ 'sidecar.istio.io/inject': 'false' }), 'skipped');
  t.equal(kind({}, { 'sidecar.istio.io/inject': 'false' }), 'skipped');
  t.equal(kind({ 'linkerd.io/inject': 'disabled' }), 'skipped');
  t.equal(kind({ 'linkerd.io/inject': 'disabled', 'lateral.dev/inject': 'true' }), 'injected');
  t.equal(kind({ 'sidecar.istio.io/inject': 'true' }), 'injected');
});

t.test('the status annotation alone is no sidecar', async (t) => {
  t.equal(injectPod(pod({ annotations: { 'lateral.dev/injected': '{}' } }), 'shop', settings).kind, 'injected');
});

t.test('annotations that cannot be understood are refused, all at once', async (t) => {
  t.same(
    complaintsOf({
      annotations: {
        'lateral.dev/interception': 'Redirect',
        'lateral.dev/exclude-inbound-ports': '80,http, 70000',
        'lateral.dev/exclude-outbound-ports': '0',
        'lateral.dev/exclude-outbound-cidrs': '10.0.0.0/33,fe80::1%eth0/64,10.0.0.1',
        'lateral.dev/protocol.http': 'http',
        'lateral.dev/protocol.80': 'HTTP',
        'lateral.dev/control-plane-address': 'gateway.example:65536',
        'lateral.dev/sidecar-cpu': '1 core',
        'lateral.dev/sidecar-memory': '-1Mi',
      },
    }),
    [
      'annotation lateral.dev/interception: expected redirect or none, got "Redirect"',
      'annotation lateral.dev/exclude-inbound-ports: "http" is not a port from 1 to 65535',
      'annotation lateral.dev/exclude-inbound-ports: "70000" is not a port from 1 to 65535',
      'annotation lateral.dev/exclude-outbound-ports: "0" is not a port from 1 to 65535',
      'annotation lateral.dev/exclude-outbound-cidrs: "10.0.0.0/33" is not an address range such as 10.0.0.0/8 or fd00::/8',
      'annotation lateral.dev/exclude-outbound-cidrs: "fe80::1%eth0/64" is not an address range such as 10.0.0.0/8 or fd00::/8',
      'annotation lateral.dev/exclude-outbound-cidrs: "10.0.0.1" is not an address range such as 10.0.0.0/8 or fd00::/8',
      'annotation lateral.dev/protocol.http: its name must end in a port, as in lateral.dev/protocol.8080',
      'annotation lateral.dev/protocol.80: expected http, grpc or tcp, got "HTTP"',
      'annotation lateral.dev/control-plane-address: "gateway.example:65536" is not HOST:PORT, e.g. lateral.svc:15012',
      'annotation lateral.dev/sidecar-cpu: "1 core" is not a quantity of Kubernetes, e.g. 100m (processor) or 128Mi (memory)',
      'annotation lateral.dev/sidecar-memory: "-1Mi" is not a quantity of Kubernetes, e.g. 100m (processor) or 128Mi (memory)',
    ],
  );
  t.same(complaintsOf({ labels: { 'lateral.dev/inject': 'no' } }), [
    'label lateral.dev/inject: expected "true" or "false", got "no"',
  ]);
});

t.test('a slip in the name of an annotation is a warning', async (t) => {
  t.match(injectPod(pod({ annotations: { 'lateral.dev/exclude-inbound-port': '80' } }), 'shop', settings), {
    kind: 'injected',
    warnings: [
      'annotation lateral.dev/exclude-inbound-port is not known; did you mean lateral.dev/exclude-inbound-ports?',
    ],
  });
});

t.test('what keeps a pod from working with a sidecar is refused, with what to change', async (t) => {
  const containers = (...list: object[]) => ({ spec: { containers: list } });
  t.match(complaintsOf(containers({ name: 'lateral-sidecar' })), [
    /^container lateral-sidecar: the name is the sidecar's/,
  ]);
  t.match(complaintsOf({ spec: { volumes: [{ name: 'lateral-state' }] } }), [/^volume lateral-state/]);
  t.match(complaintsOf(containers({ name: 'istio-proxy' })), [/set sidecar\.istio\.io\/inject: "false"/]);
  t.match(complaintsOf(containers({ name: 'web', securityContext: { runAsUser: 1337 } })), [
    /^container web: runAsUser 1337/,
  ]);
  t.match(complaintsOf({ spec: { securityContext: { runAsUser: 1337 } } }), [/runAsUser 1337/]);
  t.same(complaintsOf(containers({ name: 'constructor' })), ['injected']);
  for (const containerPort of [15000, 15001, 15006, 15020]) {
    t.match(complaintsOf(containers({ name: 'web', ports: [{ containerPort }] })), [/the sidecar listens there/]);
  }
  const ports = Array.from({ length: 65 }, (_, index) => ({ containerPort: 8000 + index }));
  const explicit = { annotations: { 'lateral.dev/interception': 'none' } };
  t.match(complaintsOf({ ...explicit, ...containers({ name: 'web', ports }) }), [/^65 ports exceed the limit of 64/]);
  t.same(complaintsOf({ ...explicit, spec: { securityContext: { runAsUser: 1337 } } }), ['injected']);
  t.same(complaintsOf({ ...explicit, ...containers({ name: 'web', ports: [{ containerPort: 15006 }] }) }), [
    'injected',
  ]);
  const value = 'x'.repeat(110_000);
  const readinessProbe = { httpGet: { port: 80, httpHeaders: [{ name: 'X', value }] } };
  t.match(complaintsOf(containers({ name: 'web', readinessProbe })), [
    /exceed the limit of 102400; shorten the headers/,
  ]);
});

t.test('the form of the sidecar follows the version of the API server', async (t) => {
  const isNative = (version: string | undefined, injection: object = {}) => {
    const outcome = injectPod(pod(), 'shop', injectionSettings(injection, version));
    return outcome.kind === 'injected' && JSON.stringify(outcome.pod).includes('"restartPolicy":"Always"');
  };
  t.notOk(isNative('v1.28.15'));
  t.ok(isNative('v1.29.0'));
  t.ok(isNative('v1.34.4-eks-1'));
  t.ok(isNative('1.30+'));
  t.ok(isNative('v2.0.0'));
  t.notOk(isNative('unknown'), 'the classic form works everywhere');
  t.ok(isNative('v1.28.0', { nativeSidecar: 'always' }));
  t.notOk(isNative('v1.34.0', { nativeSidecar: 'never' }));
});

t.test(
  'an app goes on for a while once its pod is told to end, where Kubernetes can wait and the grace period allows',
  async (t) => {
    const hook = (injection: object, version: string, spec: object = {}) => {
      const outcome = injectPod(pod({ spec }), 'shop', injectionSettings(injection, version));
      if (outcome.kind !== 'injected') throw new Error(outcome.kind);
      const containers = objectsAt(objectAt(outcome.pod, 'spec'), 'containers');
      return objectAt(containers.find(({ name }) => name === 'web') ?? {}, 'lifecycle')['preStop'];
    };
    t.same(hook({}, 'v1.30.0'), { sleep: { seconds: 2 } });
    t.same(hook({ preStopSeconds: 9 }, 'v1.30.0', { terminationGracePeriodSeconds: 10 }), { sleep: { seconds: 5 } });
    t.equal(hook({}, 'v1.29.9'), undefined);
    t.equal(hook({ preStopSeconds: 0 }, 'v1.34.0'), undefined);
    t.equal(hook({}, 'v1.34.0', { terminationGracePeriodSeconds: 1 }), undefined);
    const own = { containers: [{ name: 'web', lifecycle: { preStop: { exec: { command: ['x'] } } } }] };
    t.same(hook({}, 'v1.34.0', own), { exec: { command: ['x'] } });
  },
);

t.test('of containers that other webhooks add afterwards the probes are led through the sidecar, too', async (t) => {
  const first = injectPod(pod(), 'shop', settings);
  if (first.kind !== 'injected') throw new Error(first.kind);
  const spec = objectAt(first.pod, 'spec');
  const late = { name: 'late', livenessProbe: { httpGet: { path: '/live?a=$(B)', port: 9000 }, periodSeconds: 7 } };
  const second = injectPod(
    { ...first.pod, spec: { ...spec, containers: [...objectsAt(spec, 'containers'), late] } },
    'shop',
    settings,
  );
  if (second.kind !== 'injected') throw new Error(second.kind);
  t.same(objectsAt(objectAt(second.pod, 'spec'), 'containers').at(-1), {
    name: 'late',
    livenessProbe: { httpGet: { path: '/app-health/late/liveness', port: 15020, scheme: 'HTTP' }, periodSeconds: 7 },
  });
  const [sidecar, init] = objectsAt(objectAt(second.pod, 'spec'), 'initContainers');
  const configuration = JSON.parse(String(objectsAt(sidecar ?? {}, 'env').at(-1)?.['value']));
  t.match(configuration.probes, [{ container: 'late', kind: 'liveness', http: { port: 9000, path: '/live?a=$$(B)' } }]);
  t.equal(configuration.workload.name, '$(POD_NAME)');
  t.same(init, objectsAt(spec, 'initContainers')[1]);
  t.match(injectPod(second.pod, 'shop', settings), { kind: 'skipped', reason: 'already injected' });
});

t.test('a sidecar whose configuration cannot take further probes is refused, and says why', async (t) => {
  const first = injectPod(pod(), 'shop', settings);
  if (first.kind !== 'injected') throw new Error(first.kind);
  const spec = objectAt(first.pod, 'spec');
  const late = { name: 'late', livenessProbe: { httpGet: { path: '/live', port: 9000 } } };
  const withConfiguration = (value: unknown, more: readonly object[] = [late]) => {
    const initContainers = objectsAt(spec, 'initContainers').map((container) => ({
      ...container,
      ...(container['name'] === 'lateral-sidecar' ? { env: [{ name: 'LATERAL_CONFIG', value }] } : {}),
    }));
    const containers = [...objectsAt(spec, 'containers'), ...more];
    return injectPod({ ...first.pod, spec: { ...spec, initContainers, containers } }, 'shop', settings);
  };
  for (const broken of ['', '{', '[]', '"x"', 'null', 'kind: SidecarConfig', undefined, 7]) {
    t.match(
      withConfiguration(broken),
      { kind: 'refused', complaints: [/LATERAL_CONFIG is not the mapping in JSON/] },
      String(broken),
    );
  }
  t.match(withConfiguration('{}'), { kind: 'injected' });
  t.match(withConfiguration('{', []), { kind: 'skipped', reason: 'already injected' }, 'nothing is to be added');
});
