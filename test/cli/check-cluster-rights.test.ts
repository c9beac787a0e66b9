import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parseAllDocuments } from 'yaml';
import { isRecord } from '#policy/schema/schema.ts';
import { eventually } from '../control-plane/control-plane-fixture.ts';
import { ApiServer, noApiServer } from '../support/api-server.ts';
import { runLateral } from '../support/run-lateral.ts';

const page = await readFile(fileURLToPath(new URL('../../docs/operating.md', import.meta.url)), 'utf8');
const RIGHTS = 'rbac.authorization.k8s.io';

/** The ClusterRole of the page. */
function documentedRole(): { readonly metadata: { readonly name: string } } {
  const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  const objects = blocks.flatMap((text) => parseAllDocuments(text)).map((document): unknown => document.toJS());
  const role = objects.find((object) => isRecord(object) && object.kind === 'ClusterRole');
  if (!isRecord(role) || !isRecord(role.metadata)) throw new Error('the page has no ClusterRole');
  return { ...role, metadata: { name: String(role.metadata.name) } };
}

t.test(
  'the rights of check --cluster, on a real API server',
  { skip: noApiServer ?? false, timeout: 180_000 },
  async (t) => {
    const api = new ApiServer(t.testdir());
    t.teardown(() => api.stop());
    await api.start();
    await api.installCrds();
    await api.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
    await api.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'dev', namespace: 'shop' } });
    const subjects = [{ kind: 'ServiceAccount', name: 'dev', namespace: 'shop' }];
    const apiVersion = `${RIGHTS}/v1`;
    const kubeconfig = join(api.directory, 'kubeconfig-of-dev');
    const answer = await api.client.request('/api/v1/namespaces/shop/serviceaccounts/dev/token', {
      method: 'POST',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } },
    });
    const token = isRecord(answer) && isRecord(answer.status) ? answer.status.token : undefined;
    const config = JSON.parse(await readFile(api.kubeconfig, 'utf8'));
    await writeFile(kubeconfig, JSON.stringify({ ...config, users: [{ name: 'admin', user: { token } }] }));
    /** The authorizer learns of a binding by a watch. */
    const bound = async (resource: string) => {
      const spec = { user: 'system:serviceaccount:shop:dev', resourceAttributes: { verb: 'list', resource } };
      const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec };
      await eventually(`dev may list ${resource}`, async () => {
        const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
        const review = await api.client.request(path, { method: 'POST', body });
        return isRecord(review) && isRecord(review.status) && review.status.allowed === true;
      });
    };
    const check = () => runLateral(t, ['check', '--cluster', '--kubeconfig', kubeconfig]);

    await t.test('of a user without any, all that are missing are named at once', async (t) => {
      const { code, stderr } = await check();
      t.equal(code, 1);
      t.match(
        stderr,
        /user "system:serviceaccount:shop:dev" may not list .* in all namespaces; docs\/operating\.md has a ClusterRole/,
      );
      for (const resource of [
        'namespaces',
        'serviceaccounts',
        'pods',
        'services',
        'endpointslices',
        'authorizationpolicies.lateral.dev',
      ]) {
        t.match(stderr, new RegExp(`[ ,]${resource.replace('.', '\\.')}[ ,]`));
      }
    });

    await t.test('of one that may read almost all, the one that is missing', async (t) => {
      const rules = [
        { apiGroups: [''], resources: ['namespaces', 'serviceaccounts', 'services', 'configmaps'], verbs: ['list'] },
        { apiGroups: ['discovery.k8s.io', 'lateral.dev'], resources: ['*'], verbs: ['list'] },
      ];
      await api.create({ apiVersion, kind: 'ClusterRole', metadata: { name: 'almost' }, rules });
      const roleRef = { apiGroup: RIGHTS, kind: 'ClusterRole', name: 'almost' };
      await api.create({ apiVersion, kind: 'ClusterRoleBinding', metadata: { name: 'almost' }, roleRef, subjects });
      await bound('services');
      const { stderr } = await check();
      t.match(stderr, /may not list pods in all namespaces;/);
    });

    await t.test('the ClusterRole of the page is enough', async (t) => {
      await api.client.request(`/apis/${apiVersion}/clusterrolebindings/almost`, { method: 'DELETE' });
      const role = documentedRole();
      await api.create(role);
      const roleRef = { apiGroup: RIGHTS, kind: 'ClusterRole', name: role.metadata.name };
      await api.create({ apiVersion, kind: 'ClusterRoleBinding', metadata: { name: 'check' }, roleRef, subjects });
      await bound('pods');
      const { code, stderr } = await check();
      t.match(stderr, /no problems in the cluster/);
      t.equal(code, 0);
    });
  },
);
