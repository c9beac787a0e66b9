import { compileAuthorizer } from '../../policy/authorization/compile-authorizer.ts';
import { loadResources } from '../../policy/load-resources.ts';
import type { AuthorizationRequest, Authorizer } from '../../policy/workload-policy.ts';
import { beginnings, benchPolicies, benchRequests } from './authorization-rules.ts';

/**
 * `node --expose-gc scripts/bench/authorization.ts`: what a decision costs under 10 to 10,000 rules, in one run, since the machine's
 * other work changes from one to the next.
 */
const COUNTS = [10, 100, 1_000, 10_000] as const;
const WARM_UP_MS = 300;
const BATCHES = 25;
/** So many that it does not count what the other sets have driven out of the processor's caches meanwhile. */
const DECISIONS_A_BATCH = 20_000;
const COMPILES = 5;
const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };
const WORKLOAD = { namespace: 'shop', name: 'orders', labels: {} };
const DEFAULTS = { authorizationDefault: 'Deny' } as const;

const collect = globalThis.gc;
if (collect === undefined) throw new Error('run it with node --expose-gc');

interface Figures {
  readonly rules: number;
  readonly compileMs: number;
  readonly bytesARule: number;
  readonly nanoseconds: { readonly [kind: string]: number };
}

/** All sets of rules are there at once, and take turns: what disturbs one disturbs all. */
const compiled = COUNTS.flatMap((rules) => beginnings(rules).map((from) => prepared(rules, from)));

function prepared(rules: number, from: number) {
  const policies = loaded(rules, from);
  const times = Array.from({ length: COMPILES }, () => {
    const begun = performance.now();
    compileAuthorizer(policies, WORKLOAD, MESH, DEFAULTS);
    return performance.now() - begun;
  });
  collect?.();
  const before = process.memoryUsage().heapUsed;
  const authorizer = compileAuthorizer(policies, WORKLOAD, MESH, DEFAULTS);
  collect?.();
  const bytesARule = (process.memoryUsage().heapUsed - before) / rules;
  return { rules, policies, authorizer, bytesARule, compileMs: median(times), requests: benchRequests(rules, from) };
}

for (const { authorizer, requests } of compiled) {
  const begun = performance.now();
  while (performance.now() - begun < WARM_UP_MS) run(authorizer, Object.values(requests).flat(), DECISIONS_A_BATCH);
}
const samples = compiled.map(({ requests }) =>
  Object.fromEntries(Object.keys(requests).map((kind) => [kind, [] as number[]])),
);
for (let batch = 0; batch < BATCHES; batch++) {
  for (const [index, { authorizer, requests }] of compiled.entries()) {
    for (const [kind, asked] of Object.entries(requests))
      samples[index]?.[kind]?.push(run(authorizer, asked, DECISIONS_A_BATCH));
  }
}
const figures = COUNTS.map((rules): Figures => {
  const sets = compiled.flatMap((one, index) =>
    one.rules === rules ? [{ ...one, samples: samples[index] ?? {} }] : [],
  );
  const nanoseconds = Object.fromEntries(
    Object.keys(sets[0]?.samples ?? {}).map((kind) => [kind, mean(sets.map((set) => median(set.samples[kind] ?? [])))]),
  );
  const compileMs = mean(sets.map((set) => set.compileMs));
  return { rules, compileMs, bytesARule: mean(sets.map((set) => set.bytesARule)), nanoseconds };
});
for (const { rules, compileMs, bytesARule, nanoseconds } of figures) {
  const costs = Object.entries(nanoseconds).map(([kind, ns]) => `${kind} ${Math.round(ns)} ns`);
  process.stdout.write(
    `${String(rules).padStart(6)} rules: ${costs.join(', ')}; compiled in ${compileMs.toFixed(1)} ms, ${Math.round(bytesARule)} bytes a rule\n`,
  );
}
const [least, most] = [figures[0], figures.at(-1)];
for (const kind of Object.keys(least?.nanoseconds ?? {})) {
  const times = (most?.nanoseconds[kind] ?? 0) / (least?.nanoseconds[kind] ?? 1);
  process.stdout.write(`${kind}: ${most?.rules} rules cost ${times.toFixed(2)} times what ${least?.rules} do\n`);
}

/** Nanoseconds a decision. */
function run(authorizer: Authorizer, requests: readonly AuthorizationRequest[], decisions: number): number {
  const begun = process.hrtime.bigint();
  let allowed = 0;
  for (let index = 0; index < decisions; index++) {
    const request = requests[index % requests.length];
    if (request !== undefined && authorizer.decide(request).kind === 'allow') allowed += 1;
  }
  const took = Number(process.hrtime.bigint() - begun);
  return allowed > decisions ? 0 : took / decisions;
}

function loaded(rules: number, from: number) {
  const text = benchPolicies(rules, from)
    .map((policy) => JSON.stringify(policy))
    .join('\n---\n');
  const { sourced, problems } = loadResources([{ path: 'bench.yaml', text }], () => undefined, MESH);
  const faults = problems.filter(({ severity }) => severity === 'error');
  if (faults.length > 0) throw new Error(faults[0]?.message);
  return sourced.flatMap(({ any }) => (any.type === 'AuthorizationPolicy' ? [any.resource] : []));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
