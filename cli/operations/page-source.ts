import type { PlaintextFacts } from '#control-plane/operations/vitals-facts.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { Dial } from './dial.ts';
import {
  type DecisionFacts,
  readCertificate,
  readDecisionsPage,
  readPlaintext,
  readProxiesPage,
  recordOf,
  textOf,
} from './facts.ts';
import { getPage } from './get-page.ts';
import type { OperationsSource } from './operations-source.ts';
import { readRulesPage } from './rule-facts.ts';

const PLAINTEXT_PAGE = '/plaintext-callers';

/** A control plane, by its status pages; who reaches them has been let through to its loopback. */
export function controlPlanePages(name: string, dial: Dial): OperationsSource {
  return {
    name,
    proxies: async () => readProxiesPage(await getPage(dial, '/proxies')),
    ...decisionsOf(async () => readDecisionsPage(await getPage(dial, '/decisions'))),
    rules: async () => readRulesPage(await getPage(dial, '/rules')),
    close() {},
  };
}

/** One sidecar, by its admin port: itself as the only proxy, and the decisions it keeps. */
export function sidecarPages(name: string, dial: Dial): OperationsSource {
  const describe = async () => recordOf(await getPage(dial, '/config'));
  return {
    name,
    async proxies() {
      const { configuration, policy, certificate, sidecarVersion } = await describe();
      const { workload, trustDomain } = recordOf(configuration);
      const own = recordOf(workload);
      const { version, appliedAt, refusedReasons } = recordOf(policy);
      const reasons = Array.isArray(refusedReasons) ? refusedReasons.map(textOf) : [];
      const [namespace, serviceAccount] = [textOf(own.namespace), textOf(own.serviceAccount)];
      const at = typeof appliedAt === 'string' ? appliedAt : '';
      const isRefused = reasons.length > 0;
      return {
        source: undefined,
        proxies: [
          {
            identity: `spiffe://${textOf(trustDomain)}/ns/${namespace}/sa/${serviceAccount}`,
            workload: { name: textOf(own.name), namespace, serviceAccount },
            sidecarVersion: textOf(sidecarVersion),
            peer: '',
            state: isRefused ? 'refused' : 'current',
            inForceVersion: typeof version === 'string' ? version : '',
            pendingVersion: null,
            refused: isRefused ? { version: '', reasons, at: '' } : null,
            certificate: isRecord(certificate) ? readCertificate(certificate) : null,
            plaintext: await plaintextOf(dial),
            connectedAt: at,
            lastHeard: new Date().toISOString(),
          },
        ],
      };
    },
    ...decisionsOf(async () => {
      const { configuration } = await describe();
      const { workload } = recordOf(configuration);
      const sidecar = textOf(recordOf(workload).name);
      return readDecisionsPage(await getPage(dial, '/decisions')).map((decision) => ({ ...decision, sidecar }));
    }),
    async rules() {
      throw new Error(
        'a sidecar counts for itself alone: see lateral_authorization_rule_matches_total of its metrics, or ask the control plane',
      );
    },
    close() {},
  };
}

/** Null: a sidecar of an older version, which has no such page. */
async function plaintextOf(dial: Dial): Promise<PlaintextFacts | null> {
  const page = await getPage(dial, PLAINTEXT_PAGE).catch((error: unknown) => {
    if (error instanceof Error && error.message.startsWith(`${PLAINTEXT_PAGE}: 404`)) return undefined;
    throw error;
  });
  return page === undefined ? null : readPlaintext(recordOf(page));
}

function decisionsOf(read: () => Promise<readonly DecisionFacts[]>): Pick<OperationsSource, 'decision' | 'decisions'> {
  return {
    decision: async (id) => (await read()).findLast(({ decisionId }) => decisionId === id),
    decisions: async (code, limit) =>
      (await read()).filter((decision) => code === '' || decision.code === code).slice(-limit),
  };
}
