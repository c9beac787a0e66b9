import t from 'tap';
import { trustBundleDocument } from '#control-plane/authority/trust-documents.ts';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { loadResources } from '#policy/load-resources.ts';
import { snapshotOf } from '#policy/resource/resource-document.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority } from '../../support/certificates.ts';

const MESH = { trustDomain: 'new.example', rootNamespace: 'lateral-system' };
const ORDERS = { name: 'orders-1', namespace: 'shop', serviceAccount: 'orders', labels: { app: 'orders' } };
const ROOTS = certificatesFromPem(new TestAuthority('new.example').rootPem);
const OLD = 'old.example/ns/shop/sa/web';
const NEW = 'new.example/ns/shop/sa/web';
/** In policies, whatever the own domain is called. */
const OWN = 'cluster.local/ns/shop/sa/web';
const ANYBODY = '{}';

const policy = (action: string, rule: string) =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${action.toLowerCase()}, namespace: shop}\nspec: {action: ${action}, rules: [${rule}]}\n`;
const from = (source: string) => `{from: [{source: {${source}}}]}`;
const principal = (name: string) => from(`principals: ["${name}"]`);
const notPrincipal = (name: string) => from(`notPrincipals: ["${name}"]`);
const condition = (name: string, field: string) => `{when: [{key: source.principal, ${field}: ["${name}"]}]}`;

/** What is decided of callers with the present name, the alias, and of another domain. */
async function decisions(policies: readonly string[], aliases: readonly string[]): Promise<readonly string[]> {
  const { resources } = loadResources([{ path: 'a.yaml', text: policies.join('---\n') }], () => undefined, MESH);
  const partner = { trustDomain: 'other.example', roots: ROOTS };
  const bundle = trustBundleDocument(MESH, ROOTS, [partner], aliases);
  const snapshot = snapshotOf([...selectSnapshot(resources, ORDERS, MESH).resources, bundle]);
  const { authorizer } = await compileWorkloadPolicy(snapshot, ORDERS, MESH, async () => []);
  return ['new.example', 'old.example', 'other.example'].map((trustDomain) => {
    const source = spiffeId(trustDomain, 'shop', 'web');
    const rest = { method: 'GET', path: '/', host: undefined, headers: [], port: 8080, sourceIp: undefined };
    const none = { remoteIp: undefined, sni: undefined, claims: undefined };
    return authorizer.decide({ source, ...rest, ...none }).kind;
  });
}

const ALLOW_ALL = policy('ALLOW', ANYBODY);
const OWN_DENIED = ['deny', 'deny', 'allow'];
const OWN_ALLOWED = ['allow', 'allow', 'deny'];
const meant: readonly (readonly [string, (name: string) => readonly string[], readonly string[]])[] = [
  ['DENY principals', (name) => [policy('DENY', principal(name)), ALLOW_ALL], OWN_DENIED],
  ['DENY notPrincipals', (name) => [policy('DENY', notPrincipal(name)), ALLOW_ALL], OWN_ALLOWED],
  ['ALLOW principals', (name) => [policy('ALLOW', principal(name))], OWN_ALLOWED],
  ['ALLOW notPrincipals', (name) => [policy('ALLOW', notPrincipal(name))], OWN_DENIED],
  ['DENY when values', (name) => [policy('DENY', condition(name, 'values')), ALLOW_ALL], OWN_DENIED],
  ['ALLOW when notValues', (name) => [policy('ALLOW', condition(name, 'notValues'))], OWN_DENIED],
];

t.test('a policy written for any name of the own domain binds callers of all of its names', async (t) => {
  for (const [title, policies, wanted] of meant) {
    for (const name of [OLD, NEW, 'old.example/ns/shop/sa/w*', '*w.example/ns/shop/sa/web', OWN]) {
      t.same(await decisions(policies(name), ['old.example']), wanted, `${title}: ${name}`);
    }
  }
});

t.test('what is no whole principal speaks of one name, as in Istio', async (t) => {
  for (const name of ['old.example/*', 'old.example/ns/shop/*', 'old.*']) {
    t.same(await decisions([policy('ALLOW', principal(name))], ['old.example']), ['deny', 'allow', 'deny'], name);
  }
});

t.test('trust domains count under all names of the own one', async (t) => {
  const allowed = (rule: string) => decisions([policy('ALLOW', rule)], ['old.example']);
  t.same(await allowed(from('trustDomains: [new.example]')), OWN_ALLOWED);
  t.same(await allowed('{when: [{key: source.trustDomain, values: [old.example]}]}'), OWN_ALLOWED);
  t.same(await allowed(from('notTrustDomains: [old.example]')), OWN_DENIED);
  t.same(await allowed(from('trustDomains: ["old*"]')), ['deny', 'allow', 'deny']);
  t.same(await allowed(from('trustDomains: ["*"]')), ['allow', 'allow', 'allow']);
});

t.test('without an alias a name is that of one domain', async (t) => {
  t.same(await decisions([policy('ALLOW', principal(OLD))], []), ['deny', 'allow', 'deny']);
  t.same(await decisions([policy('ALLOW', principal(NEW))], []), ['allow', 'deny', 'deny']);
});

t.test('namespaces and service accounts count in every domain', async (t) => {
  const everybody = ['allow', 'allow', 'allow'];
  t.same(await decisions([policy('ALLOW', from('namespaces: [shop]'))], ['old.example']), everybody);
  t.same(await decisions([policy('ALLOW', from('serviceAccounts: [web]'))], ['old.example']), everybody);
});
