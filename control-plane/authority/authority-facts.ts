import { X509Certificate } from 'node:crypto';
import type { Mesh } from '#policy/workload-policy.ts';
import type { KeptAuthority } from './authority-keeper.ts';
import { currentRevocations } from './revocations.ts';
import { fingerprint } from './rotation.ts';
import type { TrustVerdict } from './trust-judgement.ts';

/** Names that are shown of those that are waited for; how many there are is told beside. */
export const MAX_SHOWN_NAMES = 20;

/** What operators are told of the authority. Times are ISO 8601. */
export interface AuthorityFacts {
  readonly trustDomain: string;
  readonly issuerEnds: string;
  readonly leafLifetimeMs: number;
  /** `none`: the root is not being changed. */
  readonly stage: 'none' | 'trusting' | 'promoting' | 'signing';
  readonly startedAt: string | null;
  readonly promotedAt: string | null;
  /** When the former root is trusted no longer; of `signing`. */
  readonly retiresAt: string | null;
  readonly isForced: boolean;
  readonly roots: readonly RootFacts[];
  /** What `trusting` waits for; of other stages null. */
  readonly waitsFor: WaitingFacts | null;
  readonly revocations: {
    readonly identities: readonly { readonly id: string; readonly at: string }[];
    readonly serials: readonly { readonly serial: string; readonly at: string; readonly until: string }[];
  };
}

export interface RootFacts {
  /** SHA-256, lower-case hex. */
  readonly fingerprint: string;
  readonly subject: string;
  readonly notAfter: string;
  /** `own`: leaves are signed under it; `next`: they will be; `former`: they were. */
  readonly role: 'own' | 'next' | 'former';
  /** Of `former`. */
  readonly trustedUntil: string | null;
}

/** The first MAX_SHOWN_NAMES of each, and how many there are. */
export interface WaitingFacts {
  readonly trusting: number;
  readonly pending: readonly string[];
  readonly pendingCount: number;
  readonly absent: readonly { readonly name: string; readonly until: string }[];
  readonly absentCount: number;
  readonly silentReplicas: readonly string[];
  /** Until then a control plane that has just started hears of its sidecars, and other meshes are given time to fetch the root. */
  readonly settlesAt: string | null;
  readonly forgotten: number;
}

const iso = (ms: number) => new Date(ms).toISOString();

export function authorityFactsOf(
  { material, state }: KeptAuthority,
  verdict: TrustVerdict | undefined,
  { mesh, leafLifetimeMs, nowMs }: { readonly mesh: Mesh; readonly leafLifetimeMs: number; readonly nowMs: number },
): AuthorityFacts {
  const { rotation } = state;
  const isPromoted = rotation !== undefined && rotation.stage !== 'trusting';
  const { identities, serials } = currentRevocations(state.revocations, nowMs);
  return {
    trustDomain: mesh.trustDomain,
    issuerEnds: iso(material.issuer.notAfterMs),
    leafLifetimeMs,
    stage: rotation?.stage ?? 'none',
    startedAt: rotation === undefined ? null : iso(rotation.startedMs),
    promotedAt: isPromoted ? iso(rotation.promotedMs) : null,
    retiresAt: isPromoted ? iso(rotation.retiresMs) : null,
    isForced: rotation?.stage === 'trusting' && rotation.isForced,
    roots: rootFactsOf({ material, state }, nowMs),
    waitsFor: verdict === undefined ? null : waitingFactsOf(verdict),
    revocations: {
      identities: identities.map(({ id, atMs }) => ({ id, at: iso(atMs) })),
      serials: serials.map(({ serial, atMs, untilMs }) => ({ serial, at: iso(atMs), until: iso(untilMs) })),
    },
  };
}

/** Each root once, by the first of what it is. */
export function rootFactsOf({ material }: KeptAuthority, nowMs: number): readonly RootFacts[] {
  const all = [
    ...material.roots.map((root) => ({ root, role: 'own' as const, untilMs: undefined })),
    ...(material.next ?? []).map((root) => ({ root, role: 'next' as const, untilMs: undefined })),
    ...material.former
      .filter(({ trustedUntilMs }) => nowMs < trustedUntilMs)
      .flatMap(({ roots, trustedUntilMs }) =>
        roots.map((root) => ({ root, role: 'former' as const, untilMs: trustedUntilMs })),
      ),
  ];
  const seen = new Set<string>();
  return all.flatMap(({ root, role, untilMs }) => {
    const print = fingerprint(root);
    if (seen.has(print)) return [];
    seen.add(print);
    const certificate = new X509Certificate(root);
    return {
      fingerprint: print,
      subject: certificate.subject.replaceAll('\n', ', '),
      notAfter: certificate.validToDate.toISOString(),
      role,
      trustedUntil: untilMs === undefined ? null : iso(untilMs),
    };
  });
}

function waitingFactsOf(verdict: TrustVerdict): WaitingFacts {
  const { pending, absent, settlesMs, ...rest } = verdict;
  return {
    ...rest,
    pending: pending.slice(0, MAX_SHOWN_NAMES),
    pendingCount: pending.length,
    absent: absent.slice(0, MAX_SHOWN_NAMES).map(({ name, untilMs }) => ({ name, until: iso(untilMs) })),
    absentCount: absent.length,
    settlesAt: settlesMs === undefined ? null : iso(settlesMs),
  };
}
