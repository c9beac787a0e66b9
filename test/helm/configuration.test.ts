import t from 'tap';
import { parse } from 'yaml';
import { CONTROL_PLANE_CONFIGURATION } from '#control-plane/configuration.ts';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { find, type Manifest, manifests, skip } from './helm-template.ts';

function configurationOf(all: Manifest[]): string {
  return find(all, 'ConfigMap', 'lateral-control-plane').data['control-plane.yaml'];
}

t.test('the control plane reads the configuration that the chart writes', { skip }, async (t) => {
  const sets = [
    'telemetry.otlp=http://jaeger.monitoring:4317',
    'telemetry.sampleRatio=0.25',
    'meshDefaults.mode=Audit',
    'sidecar.resources.requests.cpu=1',
    'trustDomain=mesh.example',
    'image.repository=localhost/lateral',
    'image.tag=dev',
    'authority.secretName=cacerts',
    'status.istio=false',
    'listen.connectionsOfAddress=4000',
    'authority.keyEncryption.secretName=authority-key',
    'authority.leafLifetime=30d',
    'authority.clockSkew=10m',
    'trustDomainAliases={old.example,older.example}',
  ];
  for (const args of [[], ['--set', sets.join()]]) {
    const text = configurationOf(manifests(...args));
    const { value, problems } = readConfiguration(
      { path: 'c.yaml', text },
      'ControlPlaneConfig',
      CONTROL_PLANE_CONFIGURATION,
    );
    t.strictSame(problems, []);
    t.ok(value);
  }
  t.strictSame(
    parse(configurationOf(manifests())).listen,
    { port: 15012, address: '0.0.0.0' },
    'an older one reads it',
  );
  const authority = { kubernetesSecret: { name: 'lateral-ca' } };
  t.strictSame(parse(configurationOf(manifests())).authority, authority, 'and this');
  t.match(parse(configurationOf(manifests('--set', sets.join()))), {
    trustDomain: 'mesh.example',
    rootNamespace: 'lateral-system',
    listen: { port: 15012, address: '0.0.0.0', connectionsOfAddress: 4000 },
    source: { kubernetes: { clusterDomain: 'cluster.local', status: { istio: false, routes: true } } },
    authority: {
      kubernetesSecret: { name: 'cacerts' },
      keyEncryption: { keyEnvironment: 'LATERAL_AUTHORITY_KEY' },
      leafLifetime: '30d',
      clockSkew: '10m',
    },
    trustDomainAliases: ['old.example', 'older.example'],
    meshDefaults: { mode: 'Audit' },
    injection: {
      image: 'localhost/lateral:dev',
      telemetry: { otlp: 'http://jaeger.monitoring:4317', sampleRatio: 0.25 },
      resources: { requests: { cpu: 1, memory: '128Mi' } },
    },
  });
});

t.test('the key of the keys is given to the control plane alone, where there is one', { skip }, async (t) => {
  const [plain] = find(manifests(), 'Deployment').spec.template.spec.containers;
  t.notOk('env' in plain);
  t.notOk('keyEncryption' in parse(configurationOf(manifests())).authority, 'an older one reads it');
  const all = manifests('--set', 'authority.keyEncryption.secretName=vault-key,authority.keyEncryption.key=k');
  const [container] = find(all, 'Deployment').spec.template.spec.containers;
  const secretKeyRef = { name: 'vault-key', key: 'k' };
  t.strictSame(container.env, [{ name: 'LATERAL_AUTHORITY_KEY', valueFrom: { secretKeyRef } }]);
});

t.test(
  'federation and the bundle endpoint reach configuration, Service and NetworkPolicy, where they are set',
  { skip },
  async (t) => {
    const plain = manifests();
    t.notMatch(configurationOf(plain), /federation|bundleEndpoint/);
    t.notMatch(JSON.stringify(find(plain, 'Service', 'lateral-control-plane')), /15013/);
    t.notMatch(JSON.stringify(find(plain, 'NetworkPolicy', 'lateral-control-plane')), /15013/);
    const all = manifests(
      '--set',
      [
        'bundleEndpoint.enabled=true',
        'federation[0].trustDomain=partner.example',
        'federation[0].endpoint.url=https://bundle.partner.example/',
        'federation[0].endpoint.profile=https_web',
      ].join(),
    );
    const text = configurationOf(all);
    const { problems } = readConfiguration({ path: 'c.yaml', text }, 'ControlPlaneConfig', CONTROL_PLANE_CONFIGURATION);
    t.strictSame(problems, []);
    t.match(parse(text), {
      federation: [{ trustDomain: 'partner.example', endpoint: { profile: 'https_web' } }],
      bundleEndpoint: { port: 15013 },
    });
    t.equal(find(plain, 'Secret', 'lateral-federated-bundles'), undefined);
    t.ok(find(all, 'Secret', 'lateral-federated-bundles'));
    t.match(JSON.stringify(find(all, 'Role', 'lateral-control-plane')), /lateral-federated-bundles/);
    t.match(find(all, 'Service', 'lateral-control-plane').spec.ports.at(-1), { name: 'bundle', port: 15013 });
    t.match(JSON.stringify(find(all, 'NetworkPolicy', 'lateral-control-plane')), /15013/);
    const ports = find(all, 'Deployment').spec.template.spec.containers[0].ports;
    t.match(ports.at(-1), { name: 'bundle', containerPort: 15013 });
  },
);
