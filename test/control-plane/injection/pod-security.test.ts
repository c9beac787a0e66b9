import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import type { JsonObject } from '#control-plane/injection/json-object.ts';
import { find, manifests, skip as noHelm } from '../../helm/helm-template.ts';
import { ApiServer, noApiServer } from '../../support/api-server.ts';
import { injectionSettings } from './settings.ts';

const PROFILES = ['privileged', 'baseline', 'restricted'];
const page = readFileSync(fileURLToPath(new URL('../../../docs/kubernetes/install.md', import.meta.url)), 'utf8');

/** A row of the page: what becomes of a pod that is redirected, and of one that is not. */
function documented(profile: string): { readonly redirect: string; readonly none: string } {
  const [, redirect = '', none = ''] =
    new RegExp(`^\\| \`${profile}\`.*? \\| (.+) \\| (.+) \\|$`, 'm').exec(page) ?? [];
  return { redirect, none };
}

/** Of an app that meets `restricted` by itself. */
function appPod(interception: string): JsonObject {
  const securityContext = {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    runAsNonRoot: true,
    runAsUser: 1000,
    seccompProfile: { type: 'RuntimeDefault' },
  };
  const probe = { httpGet: { path: '/healthz', port: 8080 } };
  const app = {
    name: 'app',
    image: 'shop/orders:1',
    ports: [{ containerPort: 8080 }],
    readinessProbe: probe,
    securityContext,
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'orders', annotations: { 'lateral.dev/interception': interception } },
    spec: { serviceAccountName: 'orders', containers: [app] },
  };
}

t.test(
  'what Pod Security admits is what the page says',
  { skip: noApiServer ?? false, timeout: 180_000 },
  async (t) => {
    const api = new ApiServer(t.testdir());
    t.teardown(() => api.stop());
    await api.start();
    for (const profile of PROFILES) {
      const labels = { 'pod-security.kubernetes.io/enforce': profile };
      await api.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: profile, labels } });
    }
    const create = async (profile: string, pod: object): Promise<string> =>
      api.client
        .request(`/api/v1/namespaces/${profile}/pods`, { method: 'POST', body: pod, query: { dryRun: 'All' } })
        .then(
          () => 'admitted',
          (error: unknown) => String(error),
        );

    for (const profile of PROFILES) {
      await t.test(profile, async (t) => {
        t.equal(await create(profile, appPod('none')), 'admitted', 'the app by itself is no obstacle');
        for (const nativeSidecar of ['always', 'never']) {
          for (const [interception, said] of Object.entries(documented(profile))) {
            const outcome = injectPod(appPod(interception), profile, injectionSettings({ nativeSidecar }));
            if (outcome.kind !== 'injected') throw new Error(JSON.stringify(outcome));
            const answer = await create(profile, outcome.pod);
            const form = `${interception}, native sidecar ${nativeSidecar}: ${said}`;
            if (said === 'admitted') {
              t.equal(answer, 'admitted', form);
              continue;
            }
            t.match(said, /^refused: /, form);
            t.match(answer, `violates PodSecurity "${profile}:`, form);
            t.notMatch(answer, 'lateral-sidecar', 'nothing is said of the sidecar');
            const isUserNamed = said.includes('user 0');
            t.equal(/container "lateral-init" must not set runAsUser=0/.test(answer), isUserNamed, answer);
            t.match(
              answer,
              /container "lateral-init" must not include.* "NET_ADMIN" in securityContext\.capabilities\.add/,
            );
          }
        }
      });
    }

    await t.test('the pods of the chart meet restricted', { skip: noHelm }, async (t) => {
      const all = manifests();
      const { template } = find(all, 'Deployment').spec;
      const controlPlane = {
        apiVersion: 'v1',
        kind: 'Pod',
        ...template,
        metadata: { ...template.metadata, name: 'a' },
      };
      t.equal(await create('restricted', controlPlane), 'admitted');
      const { namespace: _other, ...metadata } = find(all, 'Pod').metadata;
      const test = { ...find(all, 'Pod'), metadata, spec: { serviceAccountName: 'default', ...find(all, 'Pod').spec } };
      t.equal(await create('restricted', test), 'admitted');
    });
  },
);
