import { readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import t from 'tap';
import type { Snapshot } from '#policy/resource-set.ts';
import { CONTROL_PLANE_SERVER_NAME } from '#proto/server-name.ts';
import { allowPolicy, ControlPlaneFixture, SidecarFixture } from '../control-plane/control-plane-fixture.ts';
import { startPassthroughGateway } from '../support/passthrough-gateway.ts';
import { find, type Manifest, manifests, skip, template } from './helm-template.ts';

const V1 = ['--api-versions', 'gateway.networking.k8s.io/v1/TLSRoute'];
const ON = ['--set', 'gatewayApi.enabled=true'];
const SHARED = ['--set-json', 'gatewayApi.parentRefs=[{"name":"edge","namespace":"gateways","sectionName":"mesh"}]'];
const OWN = ['--set', 'gatewayApi.gateway.create=true,gatewayApi.gateway.className=edge'];

const ofGatewayApi = (all: Manifest[]) =>
  all.filter(({ apiVersion }) => apiVersion.startsWith('gateway.networking.k8s.io/')).map(({ kind }) => kind);

t.test('nothing of the Gateway API comes unless it is asked for', { skip }, async (t) => {
  t.strictSame(ofGatewayApi(manifests(...V1, ...SHARED, ...OWN)), []);
  t.strictSame(ofGatewayApi(manifests(...V1, ...ON, ...SHARED)), ['TLSRoute']);
  t.strictSame(ofGatewayApi(manifests(...V1, ...ON, ...OWN)).sort(), ['Gateway', 'TLSRoute']);
});

t.test('what would lead nowhere stops the installation, with what to do', { skip }, async (t) => {
  const complaint = (...args: string[]) => {
    const { status, stderr } = template(...args);
    t.not(status, 0, args.join(' '));
    return stderr;
  };
  t.match(complaint(...V1, ...ON), /name a Gateway in gatewayApi\.parentRefs/);
  t.match(complaint(...V1, ...ON, '--set', 'gatewayApi.gateway.create=true'), /gatewayApi\.gateway\.className/);
  t.match(complaint(...ON, ...SHARED), /the cluster serves no TLSRoute; install the Gateway API's definitions/);
  t.match(complaint(...ON, ...SHARED, '--set', 'gatewayApi.version=v1beta1'), /gatewayApi\.?\/?version/);
  t.match(
    complaint(...ON, '--set-json', 'gatewayApi.parentRefs=[{"name":"edge","sektion":"a"}]'),
    /'sektion' not allowed/,
  );
});

t.test('the newest version of TLSRoute that the cluster serves, or the one that is named', { skip }, async (t) => {
  const versionOf = (...args: string[]) => find(manifests(...ON, ...SHARED, ...args), 'TLSRoute').apiVersion;
  const serves = (...versions: string[]) =>
    versions.flatMap((version) => ['--api-versions', `gateway.networking.k8s.io/${version}/TLSRoute`]);
  const group = 'gateway.networking.k8s.io';
  t.equal(versionOf(...serves('v1alpha2')), `${group}/v1alpha2`);
  t.equal(versionOf(...serves('v1alpha2', 'v1alpha3')), `${group}/v1alpha3`);
  t.equal(versionOf(...serves('v1alpha2', 'v1alpha3', 'v1')), `${group}/v1`);
  t.equal(versionOf(...serves('v1'), '--set', 'gatewayApi.version=v1alpha2'), `${group}/v1alpha2`);
  t.equal(versionOf('--set', 'gatewayApi.version=v1'), `${group}/v1`);
});

t.test(
  'the route leads from the Gateways to the port of sidecars, by the name that they ask for',
  { skip },
  async (t) => {
    const all = manifests(...V1, ...ON, ...SHARED, ...OWN);
    const { spec } = find(all, 'TLSRoute', 'lateral-control-plane');
    t.strictSame(spec.hostnames, [CONTROL_PLANE_SERVER_NAME]);
    t.strictSame(spec.parentRefs, [
      { name: 'edge', namespace: 'gateways', sectionName: 'mesh' },
      { name: 'lateral-control-plane', sectionName: 'control-plane' },
    ]);
    const [{ backendRefs }] = spec.rules;
    const service = find(all, 'Service', backendRefs[0].name);
    const port = service.spec.ports.find(({ name }: Manifest) => name === 'grpc').port;
    t.strictSame(backendRefs, [{ name: 'lateral-control-plane', port }]);
    const [listener] = find(all, 'Gateway', 'lateral-control-plane').spec.listeners;
    t.match(listener, {
      name: 'control-plane',
      protocol: 'TLS',
      hostname: CONTROL_PLANE_SERVER_NAME,
      tls: { mode: 'Passthrough' },
    });
    const open = find(all, 'NetworkPolicy').spec.ingress.filter(({ from }: Manifest) => from === undefined);
    t.ok(
      open[0].ports.some((one: Manifest) => one.port === port),
      'gateways too pass the NetworkPolicy',
    );
  },
);

t.test(
  'a sidecar gets certificate and policies by such a route, and nobody anything by another name',
  { skip },
  async (t) => {
    const fixture = new ControlPlaneFixture(t.testdir());
    await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
    await fixture.start();
    t.teardown(() => fixture.stop());
    const { hostnames } = find(manifests(...V1, ...ON, ...OWN), 'TLSRoute').spec;
    const routes = new Map<string, () => number>(hostnames.map((name: string) => [name, () => fixture.port]));
    const gateway = await startPassthroughGateway(t, routes);

    const sidecar = new SidecarFixture(fixture);
    const connection = await sidecar.connect({ address: gateway.address, tokenFile: await fixture.token() });
    t.teardown(() => connection.close());
    const applied: Snapshot[] = [];
    await connection.policies.start(async (snapshot) => void applied.push(snapshot));
    t.strictSame(
      applied[0]?.resources.map(({ key }) => key),
      ['AuthorizationPolicy/shop/a', 'RevocationList/lateral-system/mesh', 'TrustBundle/lateral-system/mesh'],
      'the certificate of the sidecar went through as well',
    );
    t.strictSame([...new Set(gateway.names)], [CONTROL_PLANE_SERVER_NAME]);

    const port = Number(gateway.address.split(':')[1]);
    const stranger = connect({ port, host: '127.0.0.1', servername: 'shop.example', rejectUnauthorized: false });
    const outcome = await new Promise((resolve) => {
      stranger.once('secureConnect', () => resolve('connected'));
      stranger.once('error', () => resolve('refused'));
    });
    t.equal(outcome, 'refused');
  },
);

t.test('NOTES.txt tells how pods name the way', { skip }, async (t) => {
  const notes = readFileSync(new URL('../../helm/lateral/templates/NOTES.txt', import.meta.url), 'utf8');
  const names = readFileSync(new URL('../../control-plane/injection/names.ts', import.meta.url), 'utf8');
  const [, annotation = ''] = /annotation (lateral\.dev\/\S+): HOST:PORT/.exec(notes) ?? [];
  t.match(names, `'${annotation}'`);
});
