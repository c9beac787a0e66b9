import fc from 'fast-check';
import t from 'tap';
import { createOfflineAuthorizer } from '#cli/offline/authorize-offline.ts';
import { checkOfflineRequest } from '#cli/offline/offline-request.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';
import { generatedPolicies, generatedRequest } from '../policy/authorization/generated-policies.ts';
import { freePorts } from '../support/free-ports.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { askEnvoy, type EnvoyAnswer } from '../support/istio/ask-envoy.ts';
import { EnvoyPeers, startEnvoy } from '../support/istio/envoy-fleet.ts';
import { TOKEN_HEADER, TRUSTED_PROXIES } from '../support/istio/envoy-listener.ts';
import { type IstioPolicy, istiodFilters } from '../support/istio/istiod-filters.ts';
import { type OddRequest, oddPolicies, oddRequest } from '../support/istio/odd-policies.ts';
import { skipWithout } from '../support/run-command.ts';

/** Decisions compared; more: LATERAL_ISTIOD_DECISIONS=100000, with a seed of its own each time. */
const DECISIONS = Number(process.env['LATERAL_ISTIOD_DECISIONS'] ?? 2_000);
const SEED = process.env['LATERAL_ISTIOD_DECISIONS'] === undefined ? 7 : Date.now() % 1_000_000;
/** Requests of each set of policies. */
const REQUESTS = 20;
/** Sets of policies of one Envoy, two listeners each. */
const SETS_AN_ENVOY = 50;
const CONCURRENCY = 16;
const MS_A_DECISION = 50;

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'b' };
const WORKLOAD = { namespace: 'a', name: 'orders', labels: { app: 'orders' } };
/** As Istio is, where nobody configures it. */
const DEFAULTS = {
  apiVersion: 'lateral.dev/v1alpha1',
  kind: 'MeshDefaults',
  metadata: { name: 'default', namespace: MESH.rootNamespace },
  spec: { authorization: { default: 'Allow' }, pathNormalization: 'BASE', numTrustedProxies: TRUSTED_PROXIES },
};

interface PolicySet {
  readonly policies: readonly IstioPolicy[];
  readonly requests: readonly OddRequest[];
}

t.test('decides as istiod and Envoy do', { timeout: GO_TEST_TIMEOUT_MS + DECISIONS * MS_A_DECISION }, async (t) => {
  const reason = await skipWithout('envoy');
  if (reason !== false) return t.test('asks an Envoy', { skip: reason }, async () => {});
  const tools = await goTools(t, 'istiod');
  if (tools === undefined) return undefined;
  const peers = new EnvoyPeers();
  const generated = fc.sample(policySet, { numRuns: Math.ceil((2 * DECISIONS) / REQUESTS), seed: SEED });
  const answers = await istiodFilters(tools.istiod, generated.map(questionOf));
  // what istiod itself refuses never comes to an Envoy
  const sets = generated
    .flatMap((set, index) => {
      const answer = answers[index];
      return answer?.kind === 'filters' ? [{ ...set, answer }] : [];
    })
    .slice(0, Math.ceil(DECISIONS / REQUESTS));
  const seen = { allow: 0, deny: 0, refused: 0 };
  const differences: string[] = [];
  for (let from = 0; from < sets.length; from += SETS_AN_ENVOY) {
    const some = sets.slice(from, from + SETS_AN_ENVOY);
    const ports = await freePorts(2 * some.length);
    const listeners = some.flatMap(({ answer }, index) => {
      const both = [['http', answer.http] as const, ['tcp', answer.tcp] as const];
      return both.map(([protocol, filters], place) => ({
        ...{ protocol, filters, name: `${index}-${protocol}`, port: ports[2 * index + place] ?? 0 },
      }));
    });
    const envoy = await startEnvoy(t, listeners, peers.ground);
    const work = some.flatMap(({ policies, requests }, index) => {
      const lateral = lateralOf(policies);
      return requests.map((request) => async () => {
        const answer = await ask(peers, request, ports[2 * index + (request.isTcp ? 1 : 0)] ?? 0);
        if (answer !== 'allow' && answer !== 'deny') {
          seen.refused += 1;
          return;
        }
        seen[answer] += 1;
        const decision = lateral(request);
        if (decision.decision === answer) return;
        const code = decision.code;
        differences.push(JSON.stringify({ envoy: answer, code, reason: decision.reason, request, policies }));
      });
    });
    await inParallel(work);
    await envoy.stop();
  }
  t.same(differences.slice(0, 20), [], `${JSON.stringify(seen)}, seed ${SEED}`);
  t.comment(`${JSON.stringify(seen)}, ${differences.length} differences, seed ${SEED}`);
  const judged = seen.allow + seen.deny;
  t.ok(judged > 0.8 * DECISIONS && Math.min(seen.allow, seen.deny) > 0.2 * judged, 'enough of both was seen');
  return undefined;
});

const usualRequest = fc.tuple(generatedRequest, oddRequest).map(([usual, odd]): OddRequest => {
  const { source, path, headers, port } = usual;
  const caller = source === null ? undefined : source.principal;
  return {
    ...odd,
    caller,
    target: path ?? '/',
    headers,
    port,
    isTcp: usual.method === undefined,
    claims: usual.claims?.all,
  };
});
const policySet: fc.Arbitrary<PolicySet> = fc
  .oneof(
    fc.record({ policies: oddPolicies, requests: requestsOf(oddRequest) }),
    fc.record({ policies: generatedPolicies, requests: requestsOf(usualRequest) }),
  )
  .map(({ policies, requests }) => ({
    requests,
    policies: policies.map(({ namespace, name, action, isOnTrial, rules }, index) => ({
      ...{ namespace, name: `${name}${index}`, spec: { action, rules: withoutUndefined(rules) } },
      annotations: isOnTrial && action !== 'AUDIT' ? { 'istio.io/dry-run': 'true' } : {},
    })),
  }))
  .filter(({ policies }) => !policies.some(({ spec }) => spec.action === 'DENY' && spec.rules.length === 0));

function requestsOf(request: fc.Arbitrary<OddRequest>) {
  return fc.array(request, { minLength: REQUESTS, maxLength: REQUESTS });
}

function withoutUndefined<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}

function questionOf({ policies }: PolicySet) {
  const { namespace, labels } = WORKLOAD;
  return {
    trustDomains: [MESH.trustDomain],
    rootNamespace: MESH.rootNamespace,
    workload: { namespace, labels },
    policies,
  };
}

function lateralOf(policies: readonly IstioPolicy[]) {
  const documents = policies.map(({ namespace, name, annotations, spec }) => {
    const metadata = { namespace, name, annotations };
    return { apiVersion: 'security.istio.io/v1', kind: 'AuthorizationPolicy', metadata, spec };
  });
  const text = [DEFAULTS, ...documents].map((document) => JSON.stringify(document)).join('\n---\n');
  const { sourced, problems } = loadResources([{ path: 'generated.yaml', text }], () => undefined, MESH);
  const errors = problems.filter(({ severity }) => severity === 'error').map(formatProblem);
  if (errors.length > 0) throw new Error(`istiod takes what is refused here: ${errors.join('\n')}`);
  const authorizer = createOfflineAuthorizer(
    sourced.map(({ any }) => any),
    MESH,
  );
  return (request: OddRequest) => {
    const reading = checkOfflineRequest(batchLine(request));
    if (reading.kind === 'broken') throw new Error(reading.reason);
    return authorizer.decide(reading.request);
  };
}

/** As a line of `lateral authz --batch`. */
function batchLine({ caller, isTcp, target, host, headers, port, ...rest }: OddRequest): object {
  const { sourceIp, destinationIp, sni, method, claims } = rest;
  const values: { [name: string]: string[] } = { Host: [host] };
  for (let index = 0; index < headers.length; index += 2) {
    const name = (headers[index] ?? '').toLowerCase();
    values[name] = [...(values[name] ?? []), (headers[index + 1] ?? '').trim()];
  }
  const from = caller === undefined ? {} : { from: `spiffe://${caller}`, ...(sni === undefined ? {} : { sni }) };
  const http = isTcp ? { protocol: 'tcp' } : { method, path: target, headers: values, ...(claims && { claims }) };
  return { ...from, ...http, to: { ...WORKLOAD, port }, sourceIp, destinationIp };
}

function ask(peers: EnvoyPeers, request: OddRequest, port: number): Promise<EnvoyAnswer> {
  const { caller, isTcp, sourceIp, destinationIp, port: destinationPort, sni } = request;
  const leaf = caller === undefined ? undefined : peers.leaf(caller);
  const protocol = isTcp ? 'tcp' : 'http';
  const bytes = isTcp ? 'hello' : httpBytes(peers, request);
  return askEnvoy({ port, sourceIp, destinationIp, destinationPort, leaf, sni, bytes, protocol });
}

function httpBytes(peers: EnvoyPeers, { method, target, host, headers, claims }: OddRequest): string {
  const fields = ['Host', host, 'Connection', 'close', ...headers];
  if (claims !== undefined) fields.push(TOKEN_HEADER, peers.token(claims));
  const lines = fields.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${fields[index + 1] ?? ''}`] : []));
  return `${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`;
}

async function inParallel(work: (() => Promise<void>)[]): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < work.length) await work[next++]?.();
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}
