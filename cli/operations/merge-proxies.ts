import type { KnownProxy, ProxyList, SourceFacts } from './facts.ts';
import type { OperationsSource } from './operations-source.ts';

/** What several replicas of a control plane know together. */
export interface MergedProxies {
  /** By namespace and name. */
  readonly proxies: readonly KnownProxy[];
  /** Of each replica that was asked, the state of its policies. */
  readonly sources: readonly (SourceFacts & { readonly name: string })[];
}

/** A sidecar that moved to another replica may still be known to the first: the younger connection counts. */
export function mergeProxies(
  answers: readonly { readonly source: OperationsSource; readonly answer: ProxyList }[],
  namespace: string | undefined,
): MergedProxies {
  const byKey = new Map<string, KnownProxy>();
  const isMany = answers.length > 1;
  for (const { source, answer } of answers) {
    for (const proxy of answer.proxies) {
      if (namespace !== undefined && proxy.workload.namespace !== namespace) continue;
      const key = `${proxy.workload.namespace}/${proxy.workload.name} ${proxy.identity}`;
      const known = byKey.get(key);
      if (known !== undefined && known.connectedAt >= proxy.connectedAt) continue;
      byKey.set(key, { ...proxy, replica: isMany ? source.name : undefined });
    }
  }
  const sources = answers.flatMap(({ source, answer }) =>
    answer.source === undefined ? [] : [{ name: source.name, ...answer.source }],
  );
  return { proxies: [...byKey.values()].sort(compare), sources };
}

function compare({ workload: left }: KnownProxy, { workload: right }: KnownProxy): number {
  const [one, other] = [`${left.namespace}/${left.name}`, `${right.namespace}/${right.name}`];
  return one < other ? -1 : Number(one > other);
}
