import t from 'tap';
import { analyseResourceSet } from '#policy/analysis/analyse-resource-set.ts';
import { loadResources } from '#policy/load-resources.ts';
import { resourceDocument } from '#policy/resource/resource-document.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const LATERAL = 'lateral.dev/v1alpha1';
const ISTIO = 'security.istio.io/v1';

const policy = (name: string, spec: string, group = LATERAL, annotations = '{}') => `apiVersion: ${group}
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: shop, annotations: ${annotations}}
spec: ${spec}
`;

function load(...texts: readonly string[]) {
  return loadResources([{ path: 'a.yaml', text: texts.join('---\n') }], () => undefined, MESH);
}

t.test('mode Audit, and the annotation of Istio, put a policy on trial', async (t) => {
  const yes = '{istio.io/dry-run: "true"}';
  const no = '{istio.io/dry-run: "false"}';
  const of = (text: string) => load(text).sourced.map(({ any }) => any.resource.isOnTrial ?? false);
  t.strictSame(of(policy('a', '{rules: [{}]}')), [false]);
  t.strictSame(of(policy('a', '{mode: Enforce, rules: [{}]}')), [false]);
  t.strictSame(of(policy('a', '{mode: Audit, rules: [{}]}')), [true]);
  t.strictSame(of(policy('a', '{mode: Audit, rules: [{}]}', LATERAL, no)), [true]);
  t.strictSame(of(policy('a', '{mode: Enforce, rules: [{}]}', LATERAL, yes)), [true]);
  t.strictSame(of(policy('a', '{rules: [{}]}', ISTIO, yes)), [true]);
});

t.test('it is on trial still where it has travelled to', async (t) => {
  const [sourced] = load(policy('a', '{mode: Audit, rules: [{}]}')).sourced;
  if (sourced === undefined) throw new Error('nothing was read');
  const { document } = resourceDocument(sourced.any.resource);
  t.match(load(document).sourced, [{ any: { resource: { isOnTrial: true, spec: { mode: 'Audit' } } } }]);
});

t.test('a mode that is none, one of Istio`s policies, and one that does nothing are told', async (t) => {
  t.match(load(policy('a', '{mode: audit, rules: [{}]}')).problems, [{ severity: 'error', line: 4, message: /Audit/ }]);
  t.match(load(policy('a', '{mode: Audit, rules: [{}]}', ISTIO)).problems, [
    { severity: 'error', code: 'unknown_field', line: 4, message: /istio\.io\/dry-run: "true"/ },
  ]);
  t.match(load(policy('a', '{mode: Audit, action: AUDIT, rules: [{}]}')).problems, [
    { severity: 'warning', code: 'suspicious_value', line: 4 },
  ]);
});

t.test('what is on trial makes no other rule dead', async (t) => {
  const all = (mode: string, annotations = '{}') =>
    analyseResourceSet(
      load(
        policy('none', `{${mode}action: DENY, rules: [{}]}`, LATERAL, annotations),
        policy('reads', '{rules: [{to: [{operation: {methods: [GET]}}]}]}'),
      ).sourced,
      MESH,
    ).map(({ code }) => code);
  t.ok(all('').includes('contradiction'));
  t.notOk(all('mode: Audit, ').includes('contradiction'));
  t.notOk(all('', '{istio.io/dry-run: "true"}').includes('contradiction'));
});
