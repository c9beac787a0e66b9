import t from 'tap';
import { createOfflineAuthorizer } from '#cli/offline/authorize-offline.ts';
import { checkOfflineRequest } from '#cli/offline/offline-request.ts';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { loadResources } from '#policy/load-resources.ts';
import { normalizePath } from '#policy/path/normalize-path.ts';
import { formatProblem } from '#policy/problem.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';
import { authorizationRequest, CASE_FILES, meshOf, readCase, type Wanted } from './case-file.ts';

for (const name of CASE_FILES) {
  t.test(name.replace(/\.yaml$/, '').replaceAll('-', ' '), async (t) => {
    const { given, nulls } = readCase(name);
    const mesh = meshOf(given);
    const loaded = loadResources([{ path: `${name}#resources`, text: given.resources }], () => undefined, mesh);
    t.same(
      loaded.problems.filter(({ severity }) => severity === 'error').map(formatProblem),
      [],
      'the resources have no error',
    );
    const offline = createOfflineAuthorizer(
      loaded.sourced.map(({ any }) => any),
      mesh,
    );
    const index = indexResources(loaded.resources, mesh);
    for (const [position, { title, request, wanted }] of given.requests.entries()) {
      const fields = isRecord(request) ? request : {};
      const reading = checkOfflineRequest({ to: given.to, ...fields });
      if (reading.kind === 'broken') return t.fail(`${title}: ${reading.reason}`);
      const decision = offline.decide(reading.request);
      const expected = expectedOf(wanted, nulls[position] ?? []);
      const actual = Object.fromEntries(
        Object.keys(expected).map((key) => [key, Object.entries(decision).find(([name]) => name === key)?.[1]]),
      );
      t.same(actual, expected, title);
      const { to } = reading.request;
      if (to.labels === undefined || decision.policy === null) continue;
      const workload = { ...to, labels: to.labels, serviceAccount: to.serviceAccount ?? to.name };
      const policy = await compileWorkloadPolicy(index.select(workload), workload, mesh, nothingToGenerate);
      const asked = authorizationRequest(reading.request, policy.defaults.trustedProxies);
      const normalized = normalizePath(asked.path ?? '/', policy.defaults.pathNormalization);
      const path = normalized.kind === 'normal' ? normalized.path : asked.path;
      const { authorizer, external } = policy;
      const [left] = external?.matches({ ...asked, path }) ?? [];
      const again = left ?? authorizer.explain(authorizer.decide({ ...asked, path }), { ...asked, path });
      t.match(
        again,
        { policy: decision.policy, rule: decision.rule ?? undefined },
        `${title} (by the snapshot of the workload)`,
      );
    }
    return undefined;
  });
}

async function nothingToGenerate(): Promise<never> {
  throw new Error('a case has no API description');
}

function expectedOf(wanted: Wanted, nulls: readonly string[]): { readonly [key: string]: unknown } {
  const said = Object.entries(wanted).filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(said), ...Object.fromEntries(nulls.map((key) => [key, null])) };
}
