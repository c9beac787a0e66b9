import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { OutgoingHttpHeaders } from 'node:http2';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { createOfflineAuthorizer, type OfflineDecision } from '#cli/offline/authorize-offline.ts';
import { checkOfflineRequest } from '#cli/offline/offline-request.ts';
import { loadResources } from '#policy/load-resources.ts';
import { formatProblem } from '#policy/problem.ts';
import { generatedPolicies, generatedRequest } from '../policy/authorization/generated-policies.ts';
import type { PlainPolicy } from '../policy/authorization/plain-evaluator.ts';
import { freePorts } from '../support/free-ports.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { askEnvoy, askEnvoy2, type EnvoyAnswer } from '../support/istio/ask-envoy.ts';
import { EnvoyPeers, startEnvoy } from '../support/istio/envoy-fleet.ts';
import { TOKEN_HEADER, TRUSTED_PROXIES } from '../support/istio/envoy-listener.ts';
import { type IstioPolicy, istiodFilters } from '../support/istio/istiod-filters.ts';
import { type OddRequest, oddPolicies, oddRequest } from '../support/istio/odd-policies.ts';
import { type Surroundings, surroundings, USUAL_SURROUNDINGS, wholePolicies } from '../support/istio/whole-policies.ts';
import { skipWithout } from '../support/run-command.ts';
import { runLateral } from '../support/run-lateral.ts';

/** Decisions compared; more: LATERAL_ISTIOD_DECISIONS=100000, with a seed of its own each time but for LATERAL_ISTIOD_SEED. */
const DECISIONS = Number(process.env['LATERAL_ISTIOD_DECISIONS'] ?? 2_000);
const SEED = Number(
  process.env['LATERAL_ISTIOD_SEED'] ??
    (process.env['LATERAL_ISTIOD_DECISIONS'] === undefined ? 7 : Date.now() % 1_000_000),
);
/** Requests of each set of policies. */
const REQUESTS = 20;
/** Sets of policies of one Envoy, two listeners each. */
const SETS_AN_ENVOY = 50;
const CONCURRENCY = 16;
const MS_A_DECISION = 50;

/** One set of policies in so many is also told to `lateral authz --batch`, in a process of its own. */
const SETS_A_PROCESS = 25;

const ROOT_NAMESPACE = 'b';
const WORKLOAD = { namespace: 'a', name: 'orders' };

interface PolicySet {
  readonly within: Surroundings;
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
    const listeners = some.flatMap(({ answer, within: { pathNormalization } }, index) => {
      const both = [['http', answer.http] as const, ['tcp', answer.tcp] as const];
      return both.map(([protocol, filters], place) => ({
        ...{ protocol, filters, pathNormalization, name: `${index}-${protocol}`, port: ports[2 * index + place] ?? 0 },
      }));
    });
    const envoy = await startEnvoy(t, listeners, peers.ground);
    const deciding = await Promise.all(
      some.map(async (set, index) => {
        const decided = decisionsOf(set);
        if ((from + index) % SETS_A_PROCESS === 0)
          t.same(await printedDecisions(t, set), decided, 'the command says so');
        return decided;
      }),
    );
    const work = some.flatMap(({ policies, within, requests }, index) =>
      requests.map((request, place) => async () => {
        const answer = await ask(peers, request, ports[2 * index + (request.isTcp ? 1 : 0)] ?? 0);
        if (answer !== 'allow' && answer !== 'deny') {
          seen.refused += 1;
          return;
        }
        seen[answer] += 1;
        const decision = deciding[index]?.[place];
        if (decision?.decision === answer) return;
        differences.push(JSON.stringify({ envoy: answer, ...decision, request, within, policies }));
      }),
    );
    await inParallel(work);
    await envoy.stop();
  }
  t.same(differences.slice(0, 20), [], `${JSON.stringify(seen)}, seed ${SEED}`);
  t.comment(`${JSON.stringify(seen)}, ${differences.length} differences, seed ${SEED}`);
  const judged = seen.allow + seen.deny;
  t.ok(judged > 0.8 * DECISIONS && Math.min(seen.allow, seen.deny) > 0.2 * judged, 'enough of both was seen');
  return undefined;
});

const usual = fc.constant(USUAL_SURROUNDINGS);
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
const policySet: fc.Arbitrary<PolicySet> = fc.oneof(
  fc.record({ within: usual, policies: oddPolicies.map(written), requests: requestsOf(oddRequest) }),
  fc.record({ within: usual, policies: generatedPolicies.map(written), requests: requestsOf(usualRequest) }),
  fc.record({ within: surroundings, policies: oddPolicies.map(written), requests: requestsOf(oddRequest) }),
  fc.record({ within: surroundings, policies: wholePolicies, requests: requestsOf(oddRequest) }),
);

type Unwritten = Omit<PlainPolicy, 'rules'> & { readonly rules: readonly object[] };

function written(policies: readonly Unwritten[]): IstioPolicy[] {
  return policies.map(({ namespace, name, action, isOnTrial, rules }, index) => ({
    ...{ apiVersion: 'security.istio.io/v1', namespace, name: `${name}${index}` },
    spec: { action, rules: withoutUndefined(rules) },
    annotations: isOnTrial && action !== 'AUDIT' ? { 'istio.io/dry-run': 'true' } : {},
  }));
}

function requestsOf(request: fc.Arbitrary<OddRequest>) {
  return fc.array(request, { minLength: REQUESTS, maxLength: REQUESTS });
}

function withoutUndefined<Value>(value: Value): Value {
  return JSON.parse(JSON.stringify(value)) as Value;
}

function questionOf({ policies, within: { trustDomain, aliases, labels } }: PolicySet) {
  return {
    trustDomains: [trustDomain, ...aliases],
    rootNamespace: ROOT_NAMESPACE,
    workload: { namespace: WORKLOAD.namespace, labels },
    policies,
  };
}

/** Of the requests of a set, in their order. */
function decisionsOf(set: PolicySet): readonly OfflineDecision[] {
  const mesh = { trustDomain: set.within.trustDomain, rootNamespace: ROOT_NAMESPACE };
  const { sourced, problems } = loadResources(
    [{ path: 'generated.yaml', text: manifestsOf(set) }],
    () => undefined,
    mesh,
  );
  const errors = problems.filter(({ severity }) => severity === 'error').map(formatProblem);
  if (errors.length > 0) throw new Error(`istiod takes what is refused here: ${errors.join('\n')}`);
  const authorizer = createOfflineAuthorizer(
    sourced.map(({ any }) => any),
    mesh,
    set.within.aliases,
  );
  return set.requests.map((request) => {
    const reading = checkOfflineRequest(batchLine(request, set.within));
    if (reading.kind === 'broken') throw new Error(reading.reason);
    return authorizer.decide(reading.request);
  });
}

/** The same by the command. */
async function printedDecisions(t: Test, set: PolicySet): Promise<readonly unknown[]> {
  const { trustDomain, aliases } = set.within;
  const lines = set.requests.map((request) => `${JSON.stringify(batchLine(request, set.within))}\n`);
  const single = set.requests.findIndex(({ isTcp, isHttp2 }) => !isTcp && !isHttp2);
  const folder = await mkdtemp(join(tmpdir(), 'lateral-decisions-'));
  t.teardown(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'policies.yaml'), manifestsOf(set));
  await writeFile(join(folder, 'requests.jsonl'), lines.join(''));
  const named = aliases.flatMap((alias) => ['--trust-domain-alias', alias]);
  const mesh = ['--trust-domain', trustDomain, '--root-namespace', ROOT_NAMESPACE, ...named];
  const authz = async (args: readonly string[]) => {
    const policies = join(folder, 'policies.yaml');
    const { code, stdout, stderr } = await runLateral(t, ['authz', '--policies', policies, ...mesh, ...args]);
    if (code !== 0) throw new Error(`lateral authz ended with ${code}: ${stderr}`);
    return stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
  };
  const printed = await authz(['--batch', join(folder, 'requests.jsonl')]);
  const request = set.requests[single];
  if (request !== undefined) t.same(await authz(optionsOf(request, set.within)), [printed[single]], 'as options too');
  return printed;
}

/** A request as options of the command. */
function optionsOf(request: OddRequest, { labels }: Surroundings): readonly string[] {
  const { caller, method, target, host, headers, port, sourceIp, destinationIp, sni, claims } = request;
  const given = (name: string, value: string | undefined) => (value === undefined ? [] : [`--${name}`, value]);
  const fields = [['host', host] as const, ...pairsOf(headers)];
  return [
    ...['--json', '--to', `${WORKLOAD.namespace}/${WORKLOAD.name}:${port}`, '--request', `${method} ${target}`],
    ...Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
    ...fields.flatMap(([name, value]) => ['--header', `${name}: ${value}`]),
    ...['--source-ip', sourceIp, '--destination-ip', destinationIp],
    ...given('from', caller === undefined ? undefined : `spiffe://${caller}`),
    ...given('sni', caller === undefined ? undefined : sni),
    ...given('claims', claims === undefined ? undefined : JSON.stringify(claims)),
  ];
}

/** As Istio is but for the path's normalization. */
function manifestsOf({ policies, within: { pathNormalization } }: PolicySet): string {
  const defaults = {
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'MeshDefaults',
    metadata: { name: 'default', namespace: ROOT_NAMESPACE },
    spec: { authorization: { default: 'Allow' }, pathNormalization, numTrustedProxies: TRUSTED_PROXIES },
  };
  const documents = policies.map(({ apiVersion, namespace, name, annotations, spec }) => {
    return { apiVersion, kind: 'AuthorizationPolicy', metadata: { namespace, name, annotations }, spec };
  });
  return [defaults, ...documents].map((document) => JSON.stringify(document)).join('\n---\n');
}

/** As a line of `lateral authz --batch`. */
function batchLine(request: OddRequest, { labels }: Surroundings): object {
  const { caller, isTcp, target, host, headers, port, sourceIp, destinationIp, ...rest } = request;
  const { sni, method, claims, saysRemoteIp } = rest;
  const values: { [name: string]: string[] } = { [request.isHttp2 ? ':authority' : 'Host']: [host] };
  for (const [name, value] of pairsOf(headers)) values[name] = [...(values[name] ?? []), value.trim()];
  // what comes over HTTP/2 in several fields is one field, for Envoy too (RFC 9113 §8.2.3)
  if (request.isHttp2 && values['cookie'] !== undefined) values['cookie'] = [values['cookie'].join('; ')];
  const forwarded = saysRemoteIp ? values['x-forwarded-for'] : undefined;
  const remoteIp = forwarded?.length === 1 && isIP(forwarded[0] ?? '') !== 0 && !isTcp ? forwarded[0] : undefined;
  const from =
    caller === undefined ? { from: null } : { from: `spiffe://${caller}`, ...(sni === undefined ? {} : { sni }) };
  const http = isTcp ? { protocol: 'tcp' } : { method, path: target, headers: values, ...(claims && { claims }) };
  return { ...from, ...http, to: { ...WORKLOAD, labels, port }, sourceIp, destinationIp, remoteIp };
}

function ask(peers: EnvoyPeers, request: OddRequest, port: number): Promise<EnvoyAnswer> {
  const { caller, isTcp, isHttp2, sourceIp, destinationIp, port: destinationPort, sni } = request;
  const leaf = caller === undefined ? undefined : peers.leaf(caller);
  const place = { port, sourceIp, destinationIp, destinationPort, leaf, sni };
  if (isTcp) return askEnvoy({ ...place, bytes: 'hello', protocol: 'tcp' });
  if (isHttp2) return askEnvoy2({ ...place, headers: http2Headers(peers, request) });
  return askEnvoy({ ...place, bytes: httpBytes(peers, request), protocol: 'http' });
}

function http2Headers(peers: EnvoyPeers, { method, target, host, headers, claims }: OddRequest): OutgoingHttpHeaders {
  const values: { [name: string]: string[] } = {};
  for (const [name, value] of pairsOf(headers)) values[name] = [...(values[name] ?? []), value.trim()];
  const token = claims === undefined ? {} : { [TOKEN_HEADER]: peers.token(claims) };
  const pseudo = { ':method': method, ':path': bytesOf(target), ':authority': host, ':scheme': 'http' };
  return { ...pseudo, ...values, ...token };
}

/** Lower-case names with their values. */
function pairsOf(headers: readonly string[]): readonly (readonly [string, string])[] {
  return headers.flatMap((name, index) =>
    index % 2 === 0 ? [[name.toLowerCase(), headers[index + 1] ?? ''] as const] : [],
  );
}

/** As UTF-8, one character a byte. */
function bytesOf(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function httpBytes(peers: EnvoyPeers, { method, target, host, headers, claims }: OddRequest): string {
  const fields = ['Host', host, 'Connection', 'close', ...headers];
  if (claims !== undefined) fields.push(TOKEN_HEADER, peers.token(claims));
  const lines = fields.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${fields[index + 1] ?? ''}`] : []));
  return `${method} ${bytesOf(target)} HTTP/1.1\r\n${lines.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`;
}

async function inParallel(work: (() => Promise<void>)[]): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < work.length) await work[next++]?.();
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}
