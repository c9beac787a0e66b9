import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import type { InjectionSettings } from '#control-plane/injection/injection-configuration.ts';
import { type JsonObject, objectAt, objectsAt, textAt } from '#control-plane/injection/json-object.ts';
import { KubernetesSecret } from '#control-plane/kubernetes/identity/secret.ts';
import { startWebhooks } from '#control-plane/webhook/start-webhooks.ts';
import { CERTIFICATE_SECRET } from '#control-plane/webhook/webhook-options.ts';
import { webhookRegistrations } from '#control-plane/webhook/webhook-registrations.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { ApiServer, noApiServer } from '../../support/api-server.ts';
import { freePorts } from '../../support/free-ports.ts';
import { injectionSettings } from '../injection/settings.ts';
import { ROOT } from './webhook-fixture.ts';

const CASES = join(import.meta.dirname, '../../cases/injection');

const RESTRICTED = { 'lateral.dev/inject': 'enabled', 'pod-security.kubernetes.io/enforce': 'restricted' };

t.test('on a real API server', { skip: noApiServer ?? false, timeout: 180_000 }, async (t) => {
  const api = new ApiServer(t.testdir());
  t.teardown(() => api.stop());
  await api.start();
  const [port = 0] = await freePorts(1);
  const registration = (kind: string, name: string, path: string, rule: object) => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name },
    webhooks: [
      {
        name: `${path.slice(1)}.lateral.dev`,
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
        ...(kind.startsWith('Mutating') ? { reinvocationPolicy: 'IfNeeded' } : {}),
        clientConfig: { url: `https://localhost:${port}${path}` },
        rules: [{ apiVersions: ['*'], operations: ['CREATE', 'UPDATE'], scope: 'Namespaced', ...rule }],
        namespaceSelector: { matchLabels: { 'lateral.dev/inject': 'enabled' } },
      },
    ],
  });
  const objects = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: ROOT } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { 'lateral.dev/inject': 'enabled' } } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'strict', labels: RESTRICTED } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: CERTIFICATE_SECRET, namespace: ROOT, labels: { a: 'b' } } },
    registration('MutatingWebhookConfiguration', 'lateral-injector', '/inject', {
      apiGroups: [''],
      resources: ['pods'],
    }),
    registration('ValidatingWebhookConfiguration', 'lateral-validator', '/validate', {
      apiGroups: [''],
      resources: ['configmaps'],
    }),
  ];
  for (const object of objects) await api.create(object);
  let settings: InjectionSettings = injectionSettings();
  const webhooks = startWebhooks({
    listen: { address: undefined, port },
    injection: () => settings,
    judge: (object) => {
      const isBad = objectAt(object, 'data')['isBad'] === 'yes';
      const problem = {
        file: 'ConfigMap/shop/c',
        line: 1,
        column: 1,
        severity: 'error',
        code: 'c',
        message: 'm',
      } as const;
      return { errors: isBad ? [problem, { ...problem, message: 'n' }] : [], warnings: [] };
    },
    dnsNames: ['localhost'],
    secret: new KubernetesSecret(api.client, ROOT, CERTIFICATE_SECRET),
    registrations: webhookRegistrations(api.client),
    isLeader: () => true,
    log: (event, fields) => t.comment(event, fields),
    now: Date.now,
  });
  t.teardown(() => webhooks.close());
  await webhooks.serving;
  await webhooks.reconcile();
  const created = async (object: object, namespace = 'shop'): Promise<JsonObject> => {
    const answer = await api.client.request(`/api/v1/namespaces/${namespace}/pods`, { method: 'POST', body: object });
    if (!isRecord(answer)) throw new Error('no object');
    return answer;
  };
  const named = (pod: JsonObject, name: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    ...pod,
    metadata: { ...objectAt(pod, 'metadata'), generateName: undefined, name },
    // as the admission plug-in for service accounts does, which is off here
    spec: { serviceAccountName: 'default', ...objectAt(pod, 'spec') },
  });

  await t.test('every injected form is a valid pod, and stands in the store as it was made', async (t) => {
    for (const file of readdirSync(CASES).filter((name) => name.endsWith('.in.yaml'))) {
      const given: unknown = parse(readFileSync(join(CASES, file), 'utf8'));
      if (!isRecord(given)) throw new Error(file);
      settings = injectionSettings(objectAt(given, 'injection'), textAt(given, 'kubernetesVersion'));
      const pod = named(objectAt(given, 'pod'), file.replace('.in.yaml', ''));
      const stored = await created(pod);
      const wanted = injectPod(pod, 'shop', settings);
      if (wanted.kind !== 'injected') throw new Error(wanted.kind);
      const shape = (from: JsonObject) =>
        ['initContainers', 'containers', 'volumes'].map((list) =>
          objectsAt(objectAt(from, 'spec'), list).map(({ name, args, env, restartPolicy }) => ({
            name,
            args,
            env,
            restartPolicy,
          })),
        );
      t.same(shape(stored), shape(wanted.pod), file);
      t.same(
        objectAt(objectAt(stored, 'metadata'), 'annotations'),
        objectAt(objectAt(wanted.pod, 'metadata'), 'annotations'),
      );
      t.match(injectPod(stored, 'shop', settings), { kind: 'skipped', reason: 'already injected' });
    }
  });

  await t.test('a pod that cannot be injected is refused with the reason', async (t) => {
    const pod = {
      metadata: { annotations: { 'lateral.dev/interception': 'off' } },
      spec: { containers: [{ name: 'c', image: 'c' }] },
    };
    await t.rejects(created(named(pod, 'bad')), {
      message:
        /admission webhook "inject\.lateral\.dev" denied the request: lateral: annotation lateral\.dev\/interception: expected redirect or none, got "off"/,
    });
  });

  await t.test('mode none passes where Pod Security is restricted, and a redirection does not', async (t) => {
    settings = injectionSettings();
    const securityContext = {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    };
    const containers = [{ name: 'c', image: 'c', ports: [{ containerPort: 8080 }], securityContext }];
    const none = { metadata: { annotations: { 'lateral.dev/interception': 'none' } }, spec: { containers } };
    const stored = await created(named(none, 'none'), 'strict');
    t.match(objectsAt(objectAt(stored, 'spec'), 'initContainers'), [{ name: 'lateral-sidecar' }]);
    await t.rejects(created(named({ spec: { containers } }, 'redirect'), 'strict'), {
      message: /violates PodSecurity "restricted.*lateral-init.*NET_ADMIN/,
    });
  });

  await t.test('a resource that cannot work is refused in the lines of lateral check', async (t) => {
    const map = (name: string, isBad: string) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'shop' },
      data: { isBad },
    });
    await api.create(map('good', 'no'));
    await t.rejects(api.create(map('bad', 'yes')), {
      message: /denied the request: ConfigMap\/shop\/c:1:1: error c m\nConfigMap\/shop\/c:1:1: error c n/,
    });
  });

  await t.test('a registration that somebody broke is mended, and pods are made again', async (t) => {
    const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/lateral-injector';
    const broken = await api.client.request(path);
    if (!isRecord(broken)) throw new Error('no registration');
    const clientConfig = { url: `https://localhost:${port}/inject`, caBundle: '' };
    const [webhook] = objectsAt(broken, 'webhooks');
    await api.client.request(path, { method: 'PUT', body: { ...broken, webhooks: [{ ...webhook, clientConfig }] } });
    await webhooks.reconcile();
    const pod = named({ spec: { containers: [{ name: 'c', image: 'c' }] } }, 'again');
    const deadline = Date.now() + 20_000;
    for (;;) {
      const made = await created(pod).catch((error: unknown) => String(error));
      if (typeof made !== 'string') break;
      if (Date.now() > deadline) throw new Error(made);
      await new Promise((resolve) => setTimeout(resolve, 200)); // the API server learns of it by a watch
    }
    t.pass();
    const secret = await api.client.request(`/api/v1/namespaces/${ROOT}/secrets/${CERTIFICATE_SECRET}`);
    t.match(secret, { metadata: { labels: { a: 'b' } } });
  });
});
