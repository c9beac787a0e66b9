import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { RULE_CONFIG_MAPS } from '#control-plane/kubernetes/rules/shared-rule-store.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { ownKinds } from '../../scripts/crds/custom-resource-definition.ts';
import { find, HELM, type Manifest, manifests, skip, TIMEOUT_MS, template } from './helm-template.ts';

const chart = fileURLToPath(new URL('../../helm/lateral', import.meta.url));

t.test('helm lint finds nothing', { skip }, async (t) => {
  const { status, stdout } = spawnSync(HELM, ['lint', '--strict', chart], { encoding: 'utf8', timeout: TIMEOUT_MS });
  t.equal(status, 0, stdout);
});

t.test('a misspelt value stops the installation', { skip }, async (t) => {
  const { status, stderr } = template('--set', 'meshDefaults.mod=Audit,replica=3');
  t.not(status, 0);
  t.match(stderr, /'mod' not allowed/);
  t.match(stderr, /'replica' not allowed/);
});

t.test('the definitions are those of files/crds, whole', { skip }, async (t) => {
  const all = manifests();
  for (const { plural } of ownKinds()) {
    const name = `${plural}.lateral.dev`;
    const { metadata, ...rest } = find(all, 'CustomResourceDefinition', name);
    const { metadata: _metadata, ...file } = parse(readFileSync(join(chart, 'files/crds', `${name}.yaml`), 'utf8'));
    t.strictSame(rest, file, name);
    t.equal(metadata.annotations, undefined);
  }
  const kept = find(manifests('--set', 'crds.keep=true'), 'CustomResourceDefinition');
  t.equal(kept.metadata.annotations['helm.sh/resource-policy'], 'keep');
  t.equal(find(manifests('--set', 'crds.install=false'), 'CustomResourceDefinition'), undefined);
});

t.test('pods run without root, without rights, and with a file system they cannot write', { skip }, async (t) => {
  const all = manifests();
  const specs = [find(all, 'Deployment').spec.template.spec, find(all, 'Pod').spec];
  for (const { securityContext, containers } of specs) {
    t.match(securityContext, { runAsNonRoot: true, runAsUser: 1337, seccompProfile: { type: 'RuntimeDefault' } });
    for (const container of containers) {
      t.match(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      t.ok(container.resources.limits.memory && container.resources.requests.cpu);
    }
  }
  t.equal(find(all, 'Deployment').spec.template.metadata.labels['lateral.dev/inject'], 'false');
});

t.test('an upgrade takes nothing away before its successor serves', { skip }, async (t) => {
  const { spec } = find(manifests(), 'Deployment');
  t.match(spec.strategy.rollingUpdate, { maxUnavailable: 0 });
  t.ok(spec.template.spec.containers[0].readinessProbe);
  const checksum = (...args: string[]) =>
    find(manifests(...args), 'Deployment').spec.template.metadata.annotations['checksum/configuration'];
  t.equal(checksum(), checksum('--set', 'replicas=3'), 'the same configuration, the same pods');
  t.not(checksum(), checksum('--set', 'trustDomain=other.example'));
});

t.test(
  'nothing that the control plane fills is in the manifests: an upgrade would take it away',
  { skip },
  async (t) => {
    const all = manifests();
    const secrets = all.filter(({ kind }) => kind === 'Secret');
    t.strictSame(secrets.map(({ metadata }) => metadata.name).sort(), [
      'lateral-ca',
      'lateral-former-authorities',
      'lateral-webhook-certificate',
    ]);
    for (const secret of secrets) t.notOk('data' in secret || 'stringData' in secret);
    for (const name of RULE_CONFIG_MAPS) {
      const configMap = find(all, 'ConfigMap', name);
      t.notOk('data' in configMap || 'binaryData' in configMap);
    }
    t.notOk('spec' in find(all, 'Lease', 'lateral-control-plane'));
    t.notMatch(template().stdout, /caBundle:/);
    const own = manifests('--set', 'authority.secretName=cacerts').filter(({ kind }) => kind === 'Secret');
    t.strictSame(
      own.map(({ metadata }) => metadata.name),
      ['lateral-former-authorities', 'lateral-webhook-certificate'],
    );
  },
);

t.test('pods of the cluster, of the mesh, and those that say no are not injected', { skip }, async (t) => {
  const [webhook] = find(manifests(), 'MutatingWebhookConfiguration', 'lateral-injector').webhooks;
  t.match(webhook, { failurePolicy: 'Fail', sideEffects: 'None', reinvocationPolicy: 'IfNeeded' });
  t.strictSame(webhook.namespaceSelector.matchExpressions, [
    { key: 'lateral.dev/inject', operator: 'In', values: ['enabled'] },
    {
      key: 'kubernetes.io/metadata.name',
      operator: 'NotIn',
      values: ['kube-system', 'kube-public', 'kube-node-lease', 'lateral-system'],
    },
  ]);
  t.strictSame(webhook.objectSelector.matchExpressions, [
    { key: 'lateral.dev/inject', operator: 'NotIn', values: ['false'] },
  ]);
});

t.test('rights are no wider than used', { skip }, async (t) => {
  const all = manifests();
  const WRITES = ['create', 'update', 'patch', 'delete', 'deletecollection', '*'];
  const broad: string[] = [];
  for (const { rules } of all.filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role')) {
    for (const { apiGroups, resources, resourceNames, verbs } of rules) {
      t.notOk(apiGroups.includes('*') || verbs.includes('*'));
      if (resources.includes('secrets')) t.ok(resourceNames.length > 0, 'no Secret but those named');
      if (resourceNames === undefined && verbs.some((verb: string) => WRITES.includes(verb)))
        broad.push(resources.join());
    }
  }
  t.strictSame(
    broad,
    [
      '*/status',
      'authorizationpolicies/status,peerauthentications/status,requestauthentications/status',
      'httproutes/status,grpcroutes/status',
      'tokenreviews',
    ],
    'what it may write without a name',
  );
  const written = all
    .filter(({ kind }) => kind === 'Role')
    .flatMap(({ rules }) => rules)
    .find(({ resources }: Manifest) => resources.includes('configmaps'));
  t.strictSame(written, {
    ...{ apiGroups: [''], resources: ['configmaps'] },
    ...{ resourceNames: RULE_CONFIG_MAPS, verbs: ['update'] },
  });
  const [role] = manifests('--set', 'status.istio=false,status.routes=false').filter(
    ({ kind }) => kind === 'ClusterRole',
  );
  const patched = role.rules.filter(({ verbs }: Manifest) => verbs.includes('patch'));
  t.strictSame(
    patched.map(({ apiGroups }: Manifest) => apiGroups),
    [['lateral.dev']],
    'no status of others, where nobody wants anything there',
  );
});

t.test('every object has its namespace and the labels of the release', { skip }, async (t) => {
  const CLUSTER_WIDE = /^(ClusterRole|ClusterRoleBinding|CustomResourceDefinition|.*WebhookConfiguration)$/;
  const route =
    'gatewayApi.enabled=true,gatewayApi.version=v1,gatewayApi.gateway.create=true,gatewayApi.gateway.className=a';
  const all = manifests('--set', `podMonitor.enabled=true,dashboards.enabled=true,${route}`);
  t.ok(find(all, 'TLSRoute') && find(all, 'Gateway') && all.length > 20);
  for (const { kind, metadata } of all) {
    const expected = CLUSTER_WIDE.test(kind) ? undefined : 'lateral-system';
    t.equal(metadata.namespace, expected, `${kind} ${metadata.name}`);
    t.equal(metadata.labels['app.kubernetes.io/instance'], 'lateral', `${kind} ${metadata.name}`);
  }
});

t.test('PodMonitors and dashboards come where they are asked for', { skip }, async (t) => {
  t.notOk(find(manifests(), 'PodMonitor'));
  const all = manifests('--set', 'podMonitor.enabled=true,podMonitor.labels.team=a,dashboards.enabled=true');
  const injected = readFileSync(join(chart, '../../control-plane/injection/containers.ts'), 'utf8');
  const { spec, metadata } = find(all, 'PodMonitor', 'lateral-sidecars');
  t.equal(metadata.labels.team, 'a');
  t.match(injected, `'${spec.podMetricsEndpoints[0].port}'`, 'the port that injected sidecars have');
  const dashboards = all.filter(({ metadata }) => metadata.labels.grafana_dashboard === '1');
  t.equal(dashboards.length, 2);
  for (const { data } of dashboards) for (const text of Object.values(data)) t.ok(isRecord(JSON.parse(String(text))));
});
