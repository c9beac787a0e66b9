import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { parseAllDocuments } from 'yaml';
import { UsageError } from '#cli/command.ts';
import { injectCommand } from '#cli/commands/inject.ts';
import { injectPod } from '#control-plane/injection/inject-pod.ts';
import { injectionSettings } from '../control-plane/injection/settings.ts';
import { TestAuthority } from '../support/certificates.ts';

const ROOT_PEM = new TestAuthority().rootPem;
const lateral = fileURLToPath(new URL('../../bin/lateral.mjs', import.meta.url));

/** `cat`s its files; the names in `args` that are files of the folder become paths. */
async function inject(t: Test, files: { readonly [name: string]: string }, ...args: readonly string[]) {
  const folder = t.testdir({ 'root.pem': ROOT_PEM, ...files });
  let stdout = '';
  let stderr = '';
  const io = { stdout: (text: string) => (stdout += text), stderr: (text: string) => (stderr += text) };
  const known = [...Object.keys(files), 'root.pem'];
  const code = await injectCommand.run(
    args.map((arg) => (known.includes(arg) ? join(folder, arg) : arg)),
    io,
  );
  return { code, stdout, stderr: stderr.replaceAll(`${folder}/`, '') };
}

const BASE = ['--root-cert', 'root.pem', '--image', 'localhost/lateral:dev'];
const settings = { ...injectionSettings({}, '1.29'), rootCertificatesPem: ROOT_PEM };

const DEPLOYMENT = `# the shop's front
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2  # two of them
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web   # the app
          image: "shop/web:1"
          args: ["off", '0644', 12:30]
          readinessProbe: {httpGet: {port: 8080}}
      volumes:
        - name: files
          configMap: {name: files, defaultMode: 0644, items: [{key: a, path: a, mode: 0o400}]}
`;
const SERVICE = `---
apiVersion:   v1
kind: Service   # as it is
metadata: {name: web}
spec:
    ports: [ {port: 80} ]
`;

function podOf(text: string): unknown {
  const [document] = parseAllDocuments(text, { version: '1.1' });
  return document?.getIn(['spec', 'template'], false) === undefined ? undefined : document.toJS().spec.template;
}

t.test('a Deployment gets what the webhook would give its pods; all else stays, also its comments', async (t) => {
  const { code, stdout, stderr } = await inject(t, { 'shop.yaml': DEPLOYMENT + SERVICE }, '-f', 'shop.yaml', ...BASE);
  t.equal(code, 0);
  t.equal(stderr, 'shop.yaml:2:1: note injected Deployment shop/web: the sidecar was added\n');
  t.ok(stdout.endsWith(SERVICE), 'a document without pods is there byte for byte');
  t.match(stdout, /^# the shop's front\napiVersion: apps\/v1\n/);
  t.match(stdout, 'replicas: 2 # two of them');
  t.match(stdout, '# the app');
  t.match(stdout, 'defaultMode: 0644', 'octal as it was');
  const pod: { readonly [key: string]: unknown } = parseAllDocuments(DEPLOYMENT, { version: '1.1' })[0]?.toJS().spec
    .template;
  const wanted = injectPod(pod, 'shop', settings);
  t.equal(wanted.kind, 'injected');
  if (wanted.kind === 'injected') t.same(podOf(stdout), wanted.pod);
});

t.test('a second run prints the same again', async (t) => {
  const once = await inject(t, { 'shop.yaml': DEPLOYMENT + SERVICE }, '-f', 'shop.yaml', ...BASE);
  const twice = await inject(t, { 'shop.yaml': once.stdout }, '-f', 'shop.yaml', ...BASE);
  t.equal(twice.stdout, once.stdout);
  t.equal(twice.stderr, 'shop.yaml:2:1: note skipped Deployment shop/web: already injected\n');
});

t.test('every kind that makes pods, and none that only has its name', async (t) => {
  const template = '{spec: {restartPolicy: Never, containers: [{name: c, image: c}]}}';
  const manifest = (apiVersion: string, kind: string, spec: string) =>
    `---\napiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: {name: x}\nspec: ${spec}\n`;
  const kinds = [
    ['v1', 'Pod', '{containers: [{name: c, image: c}]}'],
    ['v1', 'ReplicationController', `{template: ${template}}`],
    ['apps/v1', 'ReplicaSet', `{template: ${template}}`],
    ['apps/v1', 'StatefulSet', `{template: ${template}}`],
    ['apps/v1', 'DaemonSet', `{template: ${template}}`],
    ['batch/v1', 'Job', `{template: ${template}}`],
    ['batch/v1', 'CronJob', `{jobTemplate: {spec: {template: ${template}}}}`],
  ] as const;
  const others = [
    ['example.com/v1', 'Deployment', `{template: ${template}}`],
    ['v1', 'PodTemplate', '{}'],
  ] as const;
  const text = (list: readonly (readonly [string, string, string])[]) => list.map((one) => manifest(...one)).join('');
  const { stdout, stderr } = await inject(t, { 'a.yaml': text(kinds) + text(others) }, '-f', 'a.yaml', ...BASE);
  t.equal(stderr.split('note injected').length - 1, kinds.length);
  t.equal(stdout.split('name: lateral-sidecar').length - 1, kinds.length);
  t.ok(stdout.endsWith(text(others)));
});

t.test('Lists and JSON, as kubectl get prints them', async (t) => {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [{ name: 'c' }] } };
  const list = { apiVersion: 'v1', kind: 'List', items: [{ apiVersion: 'v1', kind: 'Service' }, pod] };
  const { stdout } = await inject(t, { 'l.json': JSON.stringify(list) }, '-f', 'l.json', '-n', 'shop', ...BASE);
  const wanted = injectPod(pod, 'shop', settings);
  if (wanted.kind !== 'injected') throw new Error(wanted.kind);
  t.same(JSON.parse(stdout), { ...list, items: [list.items[0], wanted.pod] });
  const gaps = { ...list, items: [null, 'x', pod, [], pod] };
  const filled = await inject(t, { 'g.json': JSON.stringify(gaps) }, '-f', 'g.json', '-n', 'shop', ...BASE);
  t.same(JSON.parse(filled.stdout), { ...list, items: [null, 'x', wanted.pod, [], wanted.pod] });
  const plain = '{"kind":  "Service"}';
  t.equal((await inject(t, { 's.json': plain }, '-f', 's.json', ...BASE)).stdout, plain);
  const yaml = `kind: PodList\napiVersion: v1\nitems:\n- ${JSON.stringify(pod)}\n`;
  t.match((await inject(t, { 'l.yaml': yaml }, '-f', 'l.yaml', ...BASE)).stdout, /name: lateral-sidecar/);
});

t.test('a document with aliases is written out, and says the same', async (t) => {
  const text = `apiVersion: v1
kind: Pod
metadata: {name: p, labels: &labels {app: web}}
spec:
  containers:
    - &one {name: a, image: c, env: [{name: A, value: b}]}
    - {<<: *one, name: b}
  nodeSelector: *labels
`;
  const { stdout } = await inject(t, { 'p.yaml': text }, '-f', 'p.yaml', '--namespace', 'shop', ...BASE);
  const [container, labels] = [{ name: 'a', image: 'c', env: [{ name: 'A', value: 'b' }] }, { app: 'web' }];
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', labels },
    spec: { containers: [container, { ...container, name: 'b' }], nodeSelector: labels },
  };
  const wanted = injectPod(pod, 'shop', settings);
  if (wanted.kind === 'injected') t.same(parseAllDocuments(stdout)[0]?.toJS(), wanted.pod);
  t.equal(wanted.kind, 'injected');
});

t.test('what is refused is shown where it stands, and nothing is printed', async (t) => {
  const bad = DEPLOYMENT.replace('labels: {app: web}', 'annotations: {lateral.dev/interception: never}');
  const { code, stdout, stderr } = await inject(
    t,
    { 'a.yaml': SERVICE + DEPLOYMENT.replace('#', '---\n#'), 'b.yaml': bad },
    '-f',
    'a.yaml',
    '-f',
    'b.yaml',
    ...BASE,
  );
  t.equal(code, 1);
  t.equal(stdout, '');
  t.equal(
    stderr,
    'a.yaml:9:1: note injected Deployment shop/web: the sidecar was added\n' +
      'b.yaml:2:1: error injection_refused Deployment shop/web: annotation lateral.dev/interception: expected redirect or none, got "never"\n',
  );
  const broken = await inject(t, { 'a.yaml': `${SERVICE}---\nkind: Pod\n a: [\n` }, '-f', 'a.yaml', ...BASE);
  t.equal(broken.code, 1);
  t.equal(broken.stdout, '');
  t.match(broken.stderr, /^a\.yaml:\d+:1: error yaml_syntax /);
});

t.test('pods that stay as they are, and warnings, are told on standard error', async (t) => {
  const pod = (name: string, more: string, annotations = '{}') =>
    `---\napiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, annotations: ${annotations}}\nspec: {${more}containers: [{name: c, ports: [{containerPort: 80}]}]}\n`;
  const text = pod('a', 'hostNetwork: true, ') + pod('b', '', '{lateral.dev/inject: "false"}');
  const { code, stdout, stderr } = await inject(t, { 'p.yaml': text }, '-f', 'p.yaml', ...BASE);
  t.equal(code, 0);
  t.equal(stdout, text);
  t.match(stderr, /^p\.yaml:2:1: warning injection Pod default\/a: not made part of the mesh: with hostNetwork/);
  t.match(stderr, 'p.yaml:7:1: note skipped Pod default/b: lateral.dev/inject says so\n');
  const none = await inject(t, { 'n.yaml': pod('m', '', '{lateral.dev/interception: none}') }, '-f', 'n.yaml', ...BASE);
  t.match(
    none.stderr,
    /warning injection Pod default\/m: interception none: calls to the pod's address on port 80 go round/,
  );
});

t.test('two files are two documents', async (t) => {
  const files = { 'a.yaml': 'kind: A', 'b.yaml': 'kind: B\n', 'c.yaml': '---\nkind: C\n', 'd.yaml': '' };
  const { stdout } = await inject(t, files, '-f', 'a.yaml', '-f', 'b.yaml', '-f', 'c.yaml', '-f', 'd.yaml', ...BASE);
  t.equal(stdout, 'kind: A\n---\nkind: B\n---\nkind: C\n');
});

t.test('--config says what the webhook of that control plane is configured with', async (t) => {
  const config = `apiVersion: lateral.dev/v1alpha1
kind: ControlPlaneConfig
trustDomain: shop.example
rootNamespace: mesh
source: {kubernetes: {}}
authority: {kubernetesSecret: {}}
injection: {image: "registry.example/lateral:1", telemetry: {sampleRatio: 0.5}}
`;
  const files = { 'shop.yaml': DEPLOYMENT, 'mesh.yaml': config };
  const { stdout } = await inject(t, files, '-f', 'shop.yaml', '--config', 'mesh.yaml', '--root-cert', 'root.pem');
  t.match(stdout, 'image: registry.example/lateral:1');
  t.match(stdout, '"trustDomain":"shop.example","rootNamespace":"mesh"');
  t.match(stdout, 'lateral-control-plane.mesh.svc:15012');
  t.match(stdout, '"sampleRatio":0.5');
  const other = await inject(
    t,
    files,
    '-f',
    'shop.yaml',
    '--config',
    'mesh.yaml',
    ...BASE,
    '--trust-domain',
    'own',
    '--kubernetes-version',
    '1.28',
  );
  t.match(other.stdout, 'image: localhost/lateral:dev');
  t.match(other.stdout, '"trustDomain":"own"');
  t.match(other.stdout, '--wait-ready');
  const broken = await inject(
    t,
    { ...files, 'mesh.yaml': config.replace('image:', 'imgae:') },
    '-f',
    'shop.yaml',
    '--config',
    'mesh.yaml',
  );
  t.equal(broken.code, 1);
  t.match(broken.stderr, /mesh\.yaml:7:13: error unknown_field .*did you mean image\?/);
});

t.test('wrong usage says what to give', async (t) => {
  const cases: [readonly string[], RegExp][] = [
    [[], /-f FILE is missing/],
    [['a.yaml'], /files are named by -f/],
    [['-f', 'a.yaml'], /--image IMAGE is missing|--root-cert FILE is missing/],
    [['-f', 'a.yaml', '--root-cert', 'root.pem'], /--image IMAGE is missing/],
    [['-f', 'a.yaml', '--image', 'x'], /--root-cert FILE is missing/],
    [['-f', 'a.yaml', ...BASE, '--trust-domain', 'A B'], /--trust-domain A B/],
    [['-f', 'a.yaml', '--frobnicate'], /frobnicate/],
  ];
  for (const [args, message] of cases)
    await t.rejects(inject(t, { 'a.yaml': 'kind: A\n' }, ...args), { message, constructor: UsageError });
  await t.rejects(inject(t, {}, '-f', '/nowhere.yaml', ...BASE), /nowhere\.yaml: no such file/);
  await t.rejects(
    inject(t, { 'a.yaml': 'x' }, '-f', 'a.yaml', '--root-cert', 'a.yaml', '--image', 'x'),
    /holds no certificate/,
  );
});

t.test('the program reads standard input, and tells success by its exit code', async (t) => {
  const folder = t.testdir({ 'root.pem': ROOT_PEM });
  const run = (input: string) =>
    spawnSync(
      process.execPath,
      [lateral, 'inject', '-f', '-', '--root-cert', join(folder, 'root.pem'), '--image', 'i'],
      { input, encoding: 'utf8' },
    );
  const good = run(DEPLOYMENT);
  t.equal(good.status, 0);
  t.match(good.stdout, /name: lateral-sidecar/);
  t.equal(run('kind: [').status, 1);
  const help = spawnSync(process.execPath, [lateral, 'inject', '--help'], { encoding: 'utf8' });
  t.match(help.stdout, /^Usage: lateral inject -f FILE/);
});
