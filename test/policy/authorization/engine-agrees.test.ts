import fc from 'fast-check';
import t from 'tap';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import { generatedPolicies, generatedRequest, resourceOf } from './generated-policies.ts';
import { evaluatePlainly, firstMatch } from './plain-evaluator.ts';

/** Requests that each generated set of policies judges. */
const REQUESTS = 20;
/** Decisions compared; more: LATERAL_PROPERTY_RUNS=1000000. */
const RUNS = Number(process.env.LATERAL_PROPERTY_RUNS ?? 10_000);
const WORKLOAD = { namespace: 'a', name: 'orders', labels: {} };
/** Policies of both namespaces bind the workload: one is its own, the other the mesh's. */
const MESH = { trustDomain: 'cluster.local', rootNamespace: 'b' };

/** On a machine that has much else to do. */
const MAX_MS_A_DECISION = 5;

t.test('the engine decides as the plain evaluator does', { timeout: RUNS * MAX_MS_A_DECISION }, async (t) => {
  let matched = 0;
  let decided = 0;
  const requests = fc.array(generatedRequest, { minLength: 1, maxLength: REQUESTS, size: 'max' });
  fc.assert(
    fc.property(generatedPolicies, requests, fc.boolean(), (policies, asked, isAllowedByDefault) => {
      const authorizationDefault = isAllowedByDefault ? 'Allow' : 'Deny';
      const authorizer = compileAuthorizer(policies.map(resourceOf), WORKLOAD, MESH, { authorizationDefault });
      for (const request of asked) {
        const wanted = evaluatePlainly(policies, request, isAllowedByDefault);
        const decision = authorizer.decide(request);
        if (decision.kind !== wanted.kind || decision.rule !== wanted.rule) throw differing(wanted, decision, request);
        if (wanted.rule !== undefined && decision.policy !== wanted.policy) throw differing(wanted, decision, request);
        const observed = authorizer.observe?.(decision, request);
        const audited = firstMatch(
          policies.filter(({ isOnTrial }) => !isOnTrial),
          'AUDIT',
          request,
        );
        if (observed?.audited?.policy !== audited?.policy || observed?.audited?.index !== audited?.rule) {
          throw differing(audited, observed, request);
        }
        const enforced = policies.map((policy) => ({ ...policy, isOnTrial: false }));
        const tried = evaluatePlainly(enforced, request, isAllowedByDefault);
        if ((observed?.trial ?? decision).kind !== tried.kind) throw differing(tried, observed, request);
        const told = authorizer.explain(decision, request);
        if (told.kind !== wanted.kind || told.reason.endsWith(': ')) throw differing(wanted, told, request);
        decided += 1;
        if (wanted.rule !== undefined) matched += 1;
      }
    }),
    {
      numRuns: Math.ceil((2 * RUNS) / REQUESTS),
      seed: process.env.LATERAL_PROPERTY_RUNS === undefined ? 7 : Date.now(),
    },
  );
  const percent = Math.round((100 * matched) / decided);
  t.ok(percent >= 20 && percent <= 80, `${decided} decisions, ${percent} % of them by a rule`);
});

function differing(wanted: unknown, decision: unknown, request: unknown): Error {
  return new Error(`wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(decision)}, of ${JSON.stringify(request)}`);
}
