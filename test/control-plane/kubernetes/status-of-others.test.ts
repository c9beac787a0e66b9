import t from 'tap';
import { createSidecarRegistry } from '#control-plane/discovery/sidecar-registry.ts';
import { isConflict } from '#control-plane/kubernetes/client/api-error.ts';
import { type MeshObject, meshObjectOf } from '#control-plane/kubernetes/resources/mesh-objects.ts';
import { StatusWriter } from '#control-plane/kubernetes/status/status-writer.ts';
import { MeshKindWatch } from '#control-plane/kubernetes/watch/mesh-kind-watch.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { skip as noHelm } from '../../helm/helm-template.ts';
import { noApiServer } from '../../support/api-server.ts';
import { eventually } from '../control-plane-fixture.ts';
import { TestCluster } from './cluster-fixture.ts';
import { MeshOnApiServer, objectPath } from './mesh-on-api-server.ts';
import { othersDefinitions, serve } from './others-definitions.ts';

const POLICIES = 'security.istio.io/v1/authorizationpolicies';
const AUTHENTICATIONS = 'security.istio.io/v1/requestauthentications';
const PEERS = 'security.istio.io/v1/peerauthentications';
const ROUTES = 'gateway.networking.k8s.io/v1/httproutes';
const GRPC_ROUTES = 'gateway.networking.k8s.io/v1/grpcroutes';
const KINDS = [
  'authorizationpolicies.security.istio.io',
  'requestauthentications.security.istio.io',
  'httproutes.gateway.networking.k8s.io',
  'grpcroutes.gateway.networking.k8s.io',
];
const ORDERS = { group: '', kind: 'Service', name: 'orders' };
const EDGE = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'edge' };
/** A pass of the writer comes within ten seconds at the latest; two cores may be busy. */
const WRITTEN_WITHIN_MS = 40_000;

type Entry = { readonly [field: string]: unknown };

t.setTimeout(280_000);

t.test('status of kinds that are not ours alone', { skip: noApiServer ?? false, timeout: 270_000 }, async (t) => {
  const definitions = await othersDefinitions();
  if (definitions === undefined) return void t.pass('no go on the PATH, which fetches definitions', { skip: 'no go' });
  const mesh = new MeshOnApiServer(t.testdir());
  t.teardown(() => mesh.stop());
  await mesh.start();
  if (noHelm === false) await mesh.restrict();
  const { api } = mesh;
  await serve(api, definitions, KINDS);

  const create = (collection: string, kind: string, name: string, spec: unknown) =>
    api.create({
      apiVersion: collection.slice(0, collection.lastIndexOf('/')),
      kind,
      metadata: { name, namespace: 'shop' },
      spec,
    });
  const versionOf = async (collection: string, name: string) => {
    const object = await api.client.request(objectPath(collection, name));
    return isRecord(object) && isRecord(object.metadata) ? object.metadata.resourceVersion : undefined;
  };
  /** As another controller writes: over the version that it read, or again. */
  const writeAsAnother = async (collection: string, name: string, change: (status: Entry) => Entry) => {
    for (;;) {
      const resourceVersion = await versionOf(collection, name);
      const status = change(await mesh.status(collection, name));
      const written = await api
        .patch(`${objectPath(collection, name)}/status`, { metadata: { resourceVersion }, status })
        .then(
          () => true,
          (error: unknown) => {
            if (isConflict(error)) return false;
            throw error;
          },
        );
      if (written) return;
    }
  };
  const entries = async (collection: string, name: string): Promise<readonly Entry[]> => {
    const { parents } = await mesh.status(collection, name);
    return Array.isArray(parents) ? parents : [];
  };
  const controllers = async (collection: string, name: string) =>
    (await entries(collection, name)).map(({ controllerName }) => controllerName);
  const entryOf = (controllerName: string, parentRef: Entry, message: string) => {
    const lastTransitionTime = '2026-01-01T00:00:00Z';
    const conditions = [{ type: 'Accepted', status: 'True', reason: 'Accepted', message, lastTransitionTime }];
    return { controllerName, parentRef, conditions };
  };

  // Before the control plane: one that starts finds all this, and the CRD of one kind lacks the status.
  const istiod = {
    type: 'ZtunnelAccepted',
    status: 'True',
    reason: 'Accepted',
    message: 'attached',
    observedGeneration: '1',
  };
  const spec = { selector: { matchLabels: { app: 'orders' } }, rules: [{}] };
  await create(POLICIES, 'AuthorizationPolicy', 'allow', spec);
  await writeAsAnother(POLICIES, 'allow', () => ({ conditions: [istiod] }));
  await mesh.runPod('orders-1', '10.244.0.7');
  const replica = await mesh.startReplica();
  const theirs = async () => {
    const { conditions } = await mesh.status(POLICIES, 'allow');
    return Array.isArray(conditions) ? conditions.find(({ type }) => type === 'ZtunnelAccepted') : undefined;
  };
  const ours = async (type: string) =>
    mesh.conditions(await mesh.status(POLICIES, 'allow'))[`lateral.dev/${type}`] ?? '';

  await t.test("Istio's policy has our conditions beside those of istiod", async (t) => {
    await mesh.connect(replica, 'orders-1');
    const isProgrammed = async () => /^True Programmed 1 of 1/.test(await ours('Programmed'));
    await eventually('the sidecar has it', isProgrammed, WRITTEN_WITHIN_MS);
    t.match(await ours('Accepted'), /^True Accepted The resource is in force/);
    t.match(await ours('MatchedWorkloads'), /^True Matched 1 Pods of namespace shop/);
    t.strictSame(await theirs(), istiod);
    t.strictSame(Object.keys(await mesh.status(POLICIES, 'allow')), ['conditions']);
  });

  await t.test('istiod changes its own, and loses ours: ours come again, and its own stay', async (t) => {
    const changed = { ...istiod, status: 'False', reason: 'UnsupportedValue' };
    await writeAsAnother(POLICIES, 'allow', () => ({ conditions: [changed] }));
    await eventually('ours are there again', async () => (await ours('Accepted')) !== '', WRITTEN_WITHIN_MS);
    t.strictSame(await theirs(), changed);
  });

  await t.test('what Istio would take and cannot be in force says so', async () => {
    await create(AUTHENTICATIONS, 'RequestAuthentication', 'jwt', { jwtRules: [{ issuer: 'x', jwks: 'none' }] });
    const said = async () => mesh.conditions(await mesh.status(AUTHENTICATIONS, 'jwt'))['lateral.dev/Accepted'] ?? '';
    const isSaid = async () => /^False Invalid .*accept no tokens.*the keys are not JSON/.test(await said());
    await eventually('it is said', isSaid, WRITTEN_WITHIN_MS);
  });

  await t.test('a route of a Service has our entry beside those of other controllers', async (t) => {
    await create(ROUTES, 'HTTPRoute', 'edge', { parentRefs: [EDGE] });
    await create(ROUTES, 'HTTPRoute', 'both', { parentRefs: [EDGE, ORDERS] });
    await create(GRPC_ROUTES, 'GRPCRoute', 'mesh', { parentRefs: [ORDERS] });
    const gateway = entryOf('example.com/edge', EDGE, 'routed');
    const otherMesh = entryOf('example.com/mesh', ORDERS, 'meshed');
    await writeAsAnother(ROUTES, 'both', ({ parents = [] }) => ({
      parents: [gateway, ...(Array.isArray(parents) ? parents : []), otherMesh],
    }));
    for (const [collection, name, kind] of [
      [ROUTES, 'both', 'HTTPRoute'],
      [GRPC_ROUTES, 'mesh', 'GRPCRoute'],
    ] as const) {
      const own = async () =>
        (await entries(collection, name)).find(({ controllerName }) => controllerName === 'lateral.dev/mesh');
      await eventually(`${kind} has our entry`, async () => (await own()) !== undefined, WRITTEN_WITHIN_MS);
      const entry = (await own()) ?? {};
      t.strictSame(entry.parentRef, ORDERS);
      t.match(mesh.conditions(entry), {
        Accepted: new RegExp(`^False NotSupported .*${kind} is not yet supported`),
        ResolvedRefs: /^Unknown NotSupported /,
      });
    }
    const both = await entries(ROUTES, 'both');
    t.strictSame(
      both.filter(({ controllerName }) => controllerName !== 'lateral.dev/mesh'),
      [gateway, otherMesh],
    );
    t.strictSame(await mesh.status(ROUTES, 'edge'), {}, 'a route of a Gateway alone is left to its controller');
  });

  await t.test('writers that meet lose nothing of each other', async (t) => {
    const rounds = 20;
    for (let round = 1; round <= rounds; round += 1) {
      // each change of the spec is one more thing for us to say, while the other writes
      await api.patch(objectPath(ROUTES, 'both'), { spec: { hostnames: [`round-${round}.example.com`] } });
      await writeAsAnother(ROUTES, 'both', ({ parents }) => ({
        parents: (Array.isArray(parents) ? parents : []).map((entry) =>
          entry.controllerName === 'example.com/mesh' ? entryOf('example.com/mesh', ORDERS, `round ${round}`) : entry,
        ),
      }));
    }
    const observed = async () => {
      const [own] = (await entries(ROUTES, 'both')).filter(
        ({ controllerName }) => controllerName === 'lateral.dev/mesh',
      );
      const conditions = Array.isArray(own?.conditions) ? own.conditions : [];
      return conditions.map(({ observedGeneration }) => observedGeneration);
    };
    await eventually('ours is of the last round', async () => (await observed())[0] === rounds + 1, WRITTEN_WITHIN_MS);
    const parents = await entries(ROUTES, 'both');
    t.strictSame([...(await controllers(ROUTES, 'both'))].sort(), [
      'example.com/edge',
      'example.com/mesh',
      'lateral.dev/mesh',
    ]);
    t.match(
      parents.find(({ controllerName }) => controllerName === 'example.com/mesh'),
      {
        conditions: [{ message: `round ${rounds}` }],
      },
    );
  });

  await t.test('once a Service is no parent any more our entry goes, and no other', async (t) => {
    await api.patch(objectPath(ROUTES, 'both'), { spec: { parentRefs: [EDGE] } });
    const isGone = async () => !(await controllers(ROUTES, 'both')).includes('lateral.dev/mesh');
    await eventually('it is gone', isGone, WRITTEN_WITHIN_MS);
    t.strictSame(await controllers(ROUTES, 'both'), ['example.com/edge', 'example.com/mesh']);
    t.strictSame(
      mesh.events.filter(({ event }) => event === 'status_not_written'),
      [],
    );
  });

  await t.test('of a version that is not the last nothing is written', async (t) => {
    await replica.close();
    await create(ROUTES, 'HTTPRoute', 'raced', { parentRefs: [ORDERS] });
    const cluster = new TestCluster();
    const writer = new StatusWriter({
      client: api.client,
      state: cluster.state,
      registry: createSidecarRegistry(),
      takesStatus: () => true,
      otherReplicas: async () => ({ programmed: [], silent: 0 }),
      log: (event, fields = {}) => mesh.events.push({ event, fields }),
    });
    const read = async (): Promise<MeshObject> => {
      const object = await api.client.request(objectPath(ROUTES, 'raced'));
      const kind = { group: 'gateway.networking.k8s.io', version: 'v1', kind: 'HTTPRoute', plural: 'httproutes' };
      const found = isRecord(object) ? meshObjectOf(object, kind) : undefined;
      if (found === undefined) throw new Error('no route');
      return found;
    };
    const tell = (object: MeshObject) => {
      cluster.state.resourceChanged(object.key, object);
      cluster.state.refresh();
      writer.due();
    };
    const first = await read();
    await writeAsAnother(ROUTES, 'raced', () => ({ parents: [entryOf('example.com/mesh', ORDERS, 'first')] }));
    const policy = await api.client.request(objectPath(POLICIES, 'allow'));
    const last = isRecord(policy)
      ? meshObjectOf(policy, {
          group: 'security.istio.io',
          version: 'v1',
          kind: 'AuthorizationPolicy',
          plural: 'authorizationpolicies',
        })
      : undefined;
    if (last === undefined) throw new Error('no policy');
    tell(first);
    tell(last);
    writer.start();
    t.teardown(() => writer.stop());
    // the policy comes after the route in a pass: once it is written, the route was tried
    await eventually('the pass is made', () => writer.counts.writes === 1, WRITTEN_WITHIN_MS);
    t.strictSame(await controllers(ROUTES, 'raced'), ['example.com/mesh']);
    tell(await read());
    await eventually(
      'it is written over the version of the other',
      async () => (await controllers(ROUTES, 'raced')).includes('lateral.dev/mesh'),
      WRITTEN_WITHIN_MS,
    );
    t.strictSame(await controllers(ROUTES, 'raced'), ['example.com/mesh', 'lateral.dev/mesh']);
    t.equal(writer.counts.failures, 0);
  });

  await t.test('a kind whose definition has no status is known by it', async (t) => {
    const bare = definitions.flatMap((definition) => {
      if (!isRecord(definition.metadata) || definition.metadata.name !== 'peerauthentications.security.istio.io')
        return [];
      const copy = structuredClone(definition);
      const versions = isRecord(copy.spec) && Array.isArray(copy.spec.versions) ? copy.spec.versions : [];
      for (const version of versions) delete version.subresources;
      return [copy];
    });
    await serve(api, bare, ['peerauthentications.security.istio.io']);
    await create(PEERS, 'PeerAuthentication', 'strict', { mtls: { mode: 'STRICT' } });
    const found = new Map<string, MeshObject>();
    const watch = new MeshKindWatch({
      client: api.client,
      log: () => {},
      onChange: (_key, object) => {
        if (object !== undefined) found.set(object.metadata.name, object);
      },
    });
    t.teardown(() => watch.close());
    watch.start();
    await watch.synced();
    const servesStatus = (name: string) => {
      const object = found.get(name);
      return object === undefined ? undefined : watch.servesStatus(object);
    };
    t.equal(servesStatus('strict'), false);
    t.equal(servesStatus('allow'), true);
    t.equal(servesStatus('both'), true);
  });
});
