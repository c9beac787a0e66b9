import type { AuthorityFacts, RootFacts, WaitingFacts } from '#control-plane/authority/authority-facts.ts';
import { listOf, numberOf, recordOf, textOf } from './facts.ts';

const STAGES: readonly AuthorityFacts['stage'][] = ['none', 'trusting', 'promoting', 'signing'];
const ROLES: readonly RootFacts['role'][] = ['own', 'next', 'former'];

/** Reads the page /authority of a control plane. Throws where it is not that. */
export function readAuthorityFacts(page: unknown): AuthorityFacts {
  const fields = recordOf(page);
  const { identities, serials } = recordOf(fields.revocations);
  return {
    trustDomain: textOf(fields.trustDomain),
    issuerEnds: textOf(fields.issuerEnds),
    leafLifetimeMs: numberOf(fields.leafLifetimeMs),
    stage: oneOf(STAGES, fields.stage),
    startedAt: textOrNull(fields.startedAt),
    promotedAt: textOrNull(fields.promotedAt),
    retiresAt: textOrNull(fields.retiresAt),
    isForced: fields.isForced === true,
    roots: listOf(fields.roots).map((value) => {
      const root = recordOf(value);
      return {
        fingerprint: textOf(root.fingerprint),
        subject: textOf(root.subject),
        notAfter: textOf(root.notAfter),
        role: oneOf(ROLES, root.role),
        trustedUntil: textOrNull(root.trustedUntil),
      };
    }),
    waitsFor: fields.waitsFor === null ? null : readWaiting(recordOf(fields.waitsFor)),
    revocations: {
      identities: listOf(identities).map((value) => {
        const { id, at } = recordOf(value);
        return { id: textOf(id), at: textOf(at) };
      }),
      serials: listOf(serials).map((value) => {
        const { serial, at, until } = recordOf(value);
        return { serial: textOf(serial), at: textOf(at), until: textOf(until) };
      }),
    },
  };
}

function readWaiting(fields: { readonly [name: string]: unknown }): WaitingFacts {
  return {
    trusting: numberOf(fields.trusting),
    pending: listOf(fields.pending).map(textOf),
    pendingCount: numberOf(fields.pendingCount),
    absent: listOf(fields.absent).map((value) => {
      const { name, until } = recordOf(value);
      return { name: textOf(name), until: textOf(until) };
    }),
    absentCount: numberOf(fields.absentCount),
    silentReplicas: listOf(fields.silentReplicas).map(textOf),
    settlesAt: textOrNull(fields.settlesAt),
    forgotten: numberOf(fields.forgotten),
  };
}

function textOrNull(value: unknown): string | null {
  return value === null ? null : textOf(value);
}

function oneOf<T extends string>(known: readonly T[], value: unknown): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new Error(`the answer is of another version: ${JSON.stringify(value)} is not known`);
  return found;
}
