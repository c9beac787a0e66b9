import t from 'tap';
import { boundTokenRules } from '#policy/authentication/compile-authentication.ts';
import { loadResources } from '#policy/load-resources.ts';
import { readDocuments } from '#policy/snapshot/read-documents.ts';
import { selectSnapshot } from '#policy/snapshot/select-snapshot.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const ORDERS = { name: 'orders-1', namespace: 'shop', serviceAccount: 'orders', labels: { app: 'orders' } };

function authentication(namespace: string, name: string, spec: object): string {
  const head = `apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: ${name}, namespace: ${namespace}}\n`;
  return `${head}spec: ${JSON.stringify(spec)}\n`;
}

const rule = (issuer: string) => ({ issuer, jwksUri: 'https://i.example/jwks' });
const selector = (app: string) => ({ matchLabels: { app } });

t.test('the rules of all levels count together, in the order of their issuers', (t) => {
  const policies = [
    authentication('shop', 'workload', { selector: selector('orders'), jwtRules: [rule('c'), rule('a')] }),
    authentication('shop', 'namespace', { jwtRules: [rule('b')] }),
    authentication('lateral-system', 'mesh', { jwtRules: [rule('d'), rule('b')] }),
    authentication('lateral-system', 'some', { selector: selector('orders'), jwtRules: [rule('e')] }),
    authentication('shop', 'others', { selector: selector('web'), jwtRules: [rule('f')] }),
    authentication('bank', 'foreign', { jwtRules: [rule('g')] }),
    authentication('shop', 'gateway', { targetRefs: [{ kind: 'Gateway', name: 'g' }], jwtRules: [rule('h')] }),
    authentication('shop', 'nothing', {}),
  ];
  const { resources, problems } = loadResources(
    [{ path: 'a.yaml', text: policies.join('---\n') }],
    () => undefined,
    MESH,
  );
  t.strictSame(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  const snapshot = selectSnapshot(resources, ORDERS, MESH);
  t.notMatch(
    snapshot.resources.map(({ key }) => key).join(),
    /others|foreign|gateway/,
    'what does not bind does not travel',
  );
  const bound = readDocuments(snapshot.resources, MESH).flatMap(({ any }) =>
    any.type === 'RequestAuthentication' ? [any.resource] : [],
  );
  t.strictSame(
    boundTokenRules(bound, ORDERS, MESH).map(({ issuer, policy, index }) => `${issuer} ${policy} ${index}`),
    [
      'a shop/workload 1',
      'b lateral-system/mesh 1',
      'b shop/namespace 0',
      'c shop/workload 0',
      'd lateral-system/mesh 0',
      'e lateral-system/some 0',
    ],
  );
  t.end();
});
