import t from 'tap';
import { analyseResource } from '#policy/analysis/analyse-resource-set.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

function peer(namespace: string, spec: string): string {
  return `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: ${namespace}}\nspec: ${spec}\n`;
}
const service = (endpoint: string) => `---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: db, namespace: shop}
spec: {hosts: [db], ports: [{port: 5432, protocol: tcp}], endpoints: [{address: 10.0.0.1, port: 25001, serviceAccount: db, ${endpoint}}]}
`;
const DB = service('labels: {app: db}, appPort: 5432');

function problemsOf(...texts: string[]): readonly string[] {
  const { problems } = loadResources([{ path: 'a.yaml', text: texts.join('') }], () => undefined, MESH);
  return problems.map(formatProblem).map((line) => line.replace(/^a\.yaml:/, ''));
}

t.test('DISABLE is told wherever it stands, with what it means', (t) => {
  t.match(problemsOf(peer('shop', '{mtls: {mode: DISABLE}}')), [
    /^4:21: warning plaintext_alone .*no caller has an identity/,
  ]);
  t.match(problemsOf(peer('lateral-system', '{mtls: {mode: DISABLE}}')), [/plaintext_alone/]);
  const ports = '{selector: {matchLabels: {app: db}}, portLevelMtls: {5432: {mode: DISABLE}}}';
  t.match(problemsOf(peer('shop', ports), DB), [/^4:73: warning plaintext_alone/]);
  const defaults =
    'apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: d, namespace: lateral-system}\nspec: {mtls: {mode: DISABLE}}\n';
  t.match(problemsOf(defaults), [/^4:21: warning plaintext_alone/]);
  t.end();
});

t.test('PERMISSIVE that is left on is told, and STRICT and UNSET are not', (t) => {
  t.match(problemsOf(peer('shop', '{mtls: {mode: PERMISSIVE}}')), [/warning plaintext_allowed .*lateral proxies/]);
  t.strictSame(problemsOf(peer('shop', '{mtls: {mode: STRICT}}')), []);
  t.strictSame(problemsOf(peer('shop', '{mtls: {mode: UNSET}}')), []);
  t.strictSame(problemsOf(peer('shop', '{}')), []);
  t.end();
});

const PORT = '{selector: {matchLabels: {app: db}}, portLevelMtls: {5432: {mode: STRICT}}}';

t.test('a port that no endpoint has is told, with those that there are', (t) => {
  t.strictSame(problemsOf(peer('shop', PORT), DB), []);
  t.match(problemsOf(peer('shop', PORT), service('labels: {app: db}')), [
    /^4:66: warning unknown_port no endpoint of the workload has port 5432 of the app \(there are 25001\).*appPort/,
  ]);
  t.strictSame(problemsOf(peer('shop', PORT)), [], 'where no services are declared, nothing is known');
  t.end();
});

t.test('labels that no endpoint has whole are told where callers must hear of the mode', (t) => {
  const selector = (mode: string) => `{selector: {matchLabels: {app: db, tier: data}}, mtls: {mode: ${mode}}}`;
  t.match(problemsOf(peer('shop', selector('DISABLE')), DB), [
    /^4:18: warning callers_not_told no endpoint carries all of these labels/,
    /plaintext_alone/,
  ]);
  t.strictSame(problemsOf(peer('shop', selector('STRICT')), DB), []);
  t.end();
});

t.test('in a cluster, where endpoints have all labels, nothing is said of those that are not ready', (t) => {
  const selector = '{selector: {matchLabels: {app: db, tier: data}}, mtls: {mode: DISABLE}}';
  const text = peer('shop', selector) + DB;
  const { sourced } = loadResources([{ path: 'a.yaml', text }], () => undefined, MESH);
  const [policy, ...others] = sourced;
  if (policy === undefined) throw new Error('nothing was read');
  const codes = analyseResource(policy, others, MESH, new Set()).map(({ code }) => code);
  t.strictSame(codes, ['plaintext_alone']);
  t.end();
});
