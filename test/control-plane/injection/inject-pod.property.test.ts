import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import { type JsonObject, objectAt, objectsAt } from '#control-plane/injection/json-object.ts';
import { jsonPatch, type PatchOperation } from '#control-plane/injection/json-patch.ts';
import { injectionSettings } from './settings.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const port = fc.integer({ min: 1, max: 14_000 });
const action = fc.oneof(
  fc.record({
    httpGet: fc.record(
      { port: fc.oneof(port, name), path: fc.string(), scheme: fc.constantFrom('HTTP', 'HTTPS') },
      { requiredKeys: ['port'] },
    ),
  }),
  fc.record({ tcpSocket: fc.record({ port }) }),
  fc.record({ grpc: fc.record({ port, service: fc.string() }, { requiredKeys: ['port'] }) }),
  fc.record({ exec: fc.record({ command: fc.array(fc.string(), { maxLength: 2 }) }) }),
);
const probe = fc
  .tuple(
    action,
    fc.record(
      { timeoutSeconds: fc.integer({ min: 1, max: 2 ** 31 - 1 }), periodSeconds: fc.nat() },
      { requiredKeys: [] },
    ),
  )
  .map(([what, timings]) => ({ ...timings, ...what }));
const container = (lasting: boolean) =>
  fc.record(
    {
      name,
      image: fc.constant('app:1'),
      ports: fc.array(
        fc.record(
          { containerPort: port, name: name, protocol: fc.constantFrom('TCP', 'UDP') },
          { requiredKeys: ['containerPort'] },
        ),
        { maxLength: 4 },
      ),
      readinessProbe: probe,
      livenessProbe: probe,
      startupProbe: probe,
      env: fc.array(fc.record({ name: fc.constantFrom('HTTP_PROXY', 'A', 'no_proxy'), value: fc.string() }), {
        maxLength: 2,
      }),
      lifecycle: fc.record({ preStop: action, postStart: action }, { requiredKeys: [] }),
      ...(lasting ? { restartPolicy: fc.constant('Always') } : {}),
    },
    { requiredKeys: ['name', 'image'] },
  );
const annotations = fc.record(
  {
    'lateral.dev/interception': fc.constantFrom('redirect', 'none'),
    'lateral.dev/exclude-inbound-ports': fc.array(port, { maxLength: 3 }).map(String),
    'lateral.dev/protocol.8080': fc.constantFrom('http', 'grpc', 'tcp'),
    'prometheus.io/port': fc.constant('1'),
    'a~b/c': fc.string(),
  },
  { requiredKeys: [] },
);
const uniqueNames = { selector: (one: { name: string }) => one.name, maxLength: 3 };
const podShape = fc.record({
  metadata: fc.record({ name, annotations, labels: fc.dictionary(name, name) }, { requiredKeys: ['name'] }),
  spec: fc.record(
    {
      containers: fc.uniqueArray(container(false), { minLength: 1, ...uniqueNames }),
      initContainers: fc.uniqueArray(container(true), uniqueNames),
      volumes: fc.uniqueArray(fc.record({ name }), uniqueNames),
      serviceAccountName: name,
    },
    { requiredKeys: ['containers'] },
  ),
});
/** Plain objects, as JSON has them. */
const pods = podShape.map((pod): JsonObject => JSON.parse(JSON.stringify(pod)));
const versions = fc.constantFrom('v1.28.0', 'v1.34.0');

/** RFC 6902, as far as patches of ours go. */
function patched(document: unknown, operations: readonly PatchOperation[]): unknown {
  const root = { '': structuredClone(document) };
  for (const operation of operations) {
    const steps = [
      '',
      ...operation.path
        .split('/')
        .slice(1)
        .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~')),
    ];
    const last = steps.pop() ?? '';
    const parent = steps.reduce<Record<string, unknown>>((at, step) => containerOf(at[step]), root);
    if (operation.op === 'remove') delete parent[last];
    else {
      if ((operation.op === 'add') === Object.hasOwn(parent, last))
        throw new Error(`${operation.op} ${operation.path}`);
      parent[last] = operation.value;
    }
  }
  return root[''];
}

function containerOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw new Error('a path that leads nowhere');
  return Object.assign(value);
}

t.test(
  'whatever the pod: the input stays, the patch makes the outcome, a second run skips, and the app is all there',
  async (t) => {
    let injected = 0;
    fc.assert(
      fc.property(pods, versions, (pod, version) => {
        const settings = injectionSettings({}, version);
        const before = structuredClone(pod);
        const outcome = injectPod(pod, 'shop', settings);
        if (!isDeepStrictEqual(pod, before)) throw new Error('the input was changed');
        if (!isDeepStrictEqual(injectPod(structuredClone(pod), 'shop', settings), outcome))
          throw new Error('not the same twice');
        if (outcome.kind !== 'injected') return;
        injected += 1;
        if (!isDeepStrictEqual(patched(pod, jsonPatch(pod, outcome.pod)), outcome.pod)) throw new Error('the patch');
        const again = injectPod(outcome.pod, 'shop', settings);
        if (again.kind !== 'skipped') throw new Error(`a second run: ${again.kind}`);
        const names = (from: JsonObject, list: string) =>
          objectsAt(objectAt(from, 'spec'), list)
            .map((one) => one['name'])
            .filter((one) => !String(one).startsWith('lateral-'));
        for (const list of ['containers', 'initContainers', 'volumes']) {
          if (!isDeepStrictEqual(names(outcome.pod, list), names(pod, list))) throw new Error(list);
        }
      }),
      { numRuns: 300 },
    );
    t.ok(injected > 200, `${injected} of 300`);
  },
);

t.test('a patch of anything makes the other of it', async (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (before, after) => {
      const clean = (value: unknown): unknown => JSON.parse(JSON.stringify(value)); // no -0, no prototypes
      const [from, to] = [clean(before), clean(after)];
      return isDeepStrictEqual(patched(from, jsonPatch(from, to)), to);
    }),
  );
  t.pass();
});
