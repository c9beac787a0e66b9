import fc from 'fast-check';
import type { PathNormalization } from './envoy-listener.ts';
import type { IstioPolicy } from './istiod-filters.ts';
import { condition, operation, source } from './odd-policies.ts';

/** A mesh and the workload whose requests are judged. */
export interface Surroundings {
  /** Of the mesh's trust domain. */
  readonly aliases: readonly string[];
  readonly trustDomain: string;
  readonly pathNormalization: PathNormalization;
  readonly labels: { readonly [name: string]: string };
}

/** As Istio is by default, with the labels that most policies select. */
export const USUAL_SURROUNDINGS: Surroundings = {
  aliases: [],
  trustDomain: 'cluster.local',
  pathNormalization: 'BASE',
  labels: { app: 'orders' },
};

export const surroundings: fc.Arbitrary<Surroundings> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(USUAL_SURROUNDINGS) },
  {
    weight: 2,
    arbitrary: fc.record({
      trustDomain: fc.constantFrom('cluster.local', 'new.example'),
      aliases: fc.constantFrom<readonly string[]>(
        ...[[], ['old.example'], ['cluster.local'], ['old.example', 'cluster.local'], ['new.example', 'old.example']],
      ),
      pathNormalization: fc.constantFrom('NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'),
      labels: fc.constantFrom<Surroundings['labels']>({ app: 'orders' }, { app: 'orders', version: 'v1' }, {}),
    }),
  },
);

function some<Value>(value: fc.Arbitrary<Value>, maxLength: number): fc.Arbitrary<Value[] | undefined> {
  return fc.oneof(fc.constant(undefined), fc.array(value, { minLength: 1, maxLength }));
}

/** With all that a rule may have, so that parts of it, entries and fields are combined. */
const rule = fc.record({
  from: some(
    fc
      .tuple(source, source)
      .map(([one, other]) => ({ source: { ...one.source, ...other.source } }))
      .filter(({ source: fields }) => !namesCallersTwice(Object.keys(fields))),
    2,
  ),
  to: some(
    fc.tuple(operation, operation).map(([one, other]) => ({ operation: { ...one.operation, ...other.operation } })),
    2,
  ),
  when: some(
    fc.tuple(condition, condition).map(([one, other]) => (one.key === other.key ? { ...one, ...other } : one)),
    3,
  ),
});
/** Istio takes `serviceAccounts` for another way to say `namespaces` and `principals`. */
function namesCallersTwice(fields: readonly string[]): boolean {
  return /serviceaccounts/i.test(fields.join()) && /namespaces|(^|,)(notP|p)rincipals/i.test(fields.join());
}

const selector = fc.constantFrom<unknown>(
  ...[undefined, undefined, { matchLabels: { app: 'orders' } }, { matchLabels: { app: 'other' } }],
  ...[{ matchLabels: { app: 'orders', version: 'v1' } }, { matchLabels: {} }, {}],
);

const policy = fc.record({
  namespace: fc.constantFrom('a', 'a', 'b', 'c'),
  apiVersion: fc.constantFrom('security.istio.io/v1', 'security.istio.io/v1beta1'),
  dryRun: fc.oneof(
    { weight: 6, arbitrary: fc.constant(undefined) },
    fc.constantFrom('true', 'false', 'True', '0', 'yes'),
  ),
  action: fc.constantFrom('ALLOW', 'ALLOW', 'DENY', 'DENY', 'AUDIT', undefined),
  selector,
  rules: fc.oneof(
    { weight: 12, arbitrary: fc.array(rule, { minLength: 1, maxLength: 3 }) },
    fc.constantFrom(undefined, [], [{}]),
  ),
});

/** Policies with everything that a document may say of one. */
export const wholePolicies: fc.Arbitrary<IstioPolicy[]> = fc
  .array(policy, { minLength: 1, maxLength: 4 })
  .map((policies) =>
    policies.map(({ namespace, apiVersion, dryRun, action, selector: chosen, rules }, index) => ({
      ...{ namespace, apiVersion, name: `p${index}` },
      annotations: dryRun === undefined ? {} : { 'istio.io/dry-run': dryRun },
      spec: withoutUndefined({ selector: chosen, action, rules }),
    })),
  );

function withoutUndefined<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}
