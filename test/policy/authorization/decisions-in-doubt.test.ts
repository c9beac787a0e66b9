import fc from 'fast-check';
import t from 'tap';
import { compileAuthorizer } from '#policy/authorization/compile-authorizer.ts';
import type { Certainty, Doubt, DoubtfulPart } from '#policy/authorization/doubt.ts';
import { headerValue } from '#policy/http/flat-headers.ts';
import type { AuthorizationDecision, AuthorizationRequest } from '#policy/workload-policy.ts';
import { generatedPolicies, generatedRequest, resourceOf } from './generated-policies.ts';

const RUNS = Number(process.env.LATERAL_PROPERTY_RUNS ?? 10_000);
const REQUESTS = 10;
const WORKLOAD = { namespace: 'a', name: 'orders', labels: {} };
const MESH = { trustDomain: 'cluster.local', rootNamespace: 'b' };
/** On a machine that has much else to do. */
const MAX_MS_A_DECISION = 5;

const PARTS = ['path', 'query', 'host', 'sourceIp', 'remoteIp', 'destinationIp', 'sni'] as const;
const HIDDEN = ['x-a', 'x-b', 'iss', 'sub', 'aud', 'azp', 'role', 'realm', 'scope', ...PARTS] as const;
const hidden = fc.oneof(fc.subarray([...HIDDEN], { maxLength: 2 }), fc.subarray([...HIDDEN]), fc.constant([]));

/** What is left of a request of which these are not known. */
function forgetting(request: AuthorizationRequest, names: readonly string[], isWithheld: boolean) {
  const isHidden = (name: string) => names.includes(name);
  const { claims } = request;
  const known: { -readonly [field in keyof AuthorizationRequest]: AuthorizationRequest[field] } = { ...request };
  for (const part of PARTS) if (isHidden(part) && part in known) Object.assign(known, { [part]: undefined });
  known.headers = request.headers.flatMap((name, index) =>
    index % 2 === 1 || isHidden(name.toLowerCase()) ? [] : [name, request.headers[index + 1] ?? ''],
  );
  if (claims !== undefined) {
    const all = Object.fromEntries(Object.entries(claims.all).filter(([name]) => !isHidden(name)));
    known.claims = { ...claims, all };
  }
  const certainty = (isKnown: boolean): Certainty => (isKnown ? 'known' : 'unknown');
  const doubt: Doubt = {
    of: (part: DoubtfulPart) => certainty(!isHidden(part)),
    ofHeader: (name) =>
      isHidden(name) && isWithheld && headerValue(request.headers, name) !== undefined
        ? 'withheld'
        : certainty(!isHidden(name)),
    ofClaim: ([name = '']) => certainty(!isHidden(name)),
  };
  return { known, doubt };
}

function told(decision: AuthorizationDecision): string {
  return JSON.stringify([decision.kind, 'code' in decision ? decision.code : '', decision.policy, decision.rule]);
}

t.test('the decision is always among those that are possible', { timeout: RUNS * MAX_MS_A_DECISION }, async (t) => {
  let certain = 0;
  let decided = 0;
  const requests = fc.array(generatedRequest, { minLength: 1, maxLength: REQUESTS, size: 'max' });
  fc.assert(
    fc.property(
      generatedPolicies,
      requests,
      hidden,
      fc.boolean(),
      fc.boolean(),
      (policies, asked, names, isOpen, isWithheld) => {
        const authorizationDefault = isOpen ? 'Allow' : 'Deny';
        const authorizer = compileAuthorizer(policies.map(resourceOf), WORKLOAD, MESH, { authorizationDefault });
        for (const request of asked) {
          const { known, doubt } = forgetting(request, names, isWithheld);
          const decision = told(authorizer.decide(request));
          const possible = authorizer.possible(known, doubt).map(told);
          if (!possible.includes(decision))
            throw new Error(`${decision} is none of ${possible}: ${JSON.stringify(request)}`);
          if (names.length === 0 && possible.length > 1) throw new Error(`${possible}: nothing was unknown`);
          if (names.length > 0) decided += 1;
          if (names.length > 0 && possible.length === 1) certain += 1;
        }
      },
    ),
    {
      numRuns: Math.ceil((2 * RUNS) / REQUESTS),
      seed: process.env.LATERAL_PROPERTY_RUNS === undefined ? 7 : Date.now(),
    },
  );
  const percent = Math.round((100 * certain) / decided);
  t.ok(percent >= 20 && percent <= 95, `${decided} decisions in doubt, ${percent} % of them certain all the same`);
});
