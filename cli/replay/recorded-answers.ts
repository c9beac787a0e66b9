import type { ExternalMatch, PossibleMatch } from '#policy/authorization/external-rules.ts';
import type { Code } from '#policy/error/codes.ts';

/** What the providers who would be asked now come to, by what they said when the request was recorded. */
export type ProviderStand =
  | { readonly kind: 'allow' }
  | {
      readonly kind: 'deny';
      readonly code: Code;
      readonly policy: string;
      readonly rule: number;
      readonly reason: string;
    }
  /** What one of them would say is not recorded, or it is not certain that it would be asked. */
  | { readonly kind: 'unknown'; readonly provider: string };

type Refusal = Extract<ProviderStand, { kind: 'deny' }>;

/** `providers`: as the log has it. A certain refusal is one whatever others say. */
export function standOf(matches: readonly PossibleMatch[], providers: string): ProviderStand {
  let unknown: string | undefined;
  for (const { match, isCertain } of matches) {
    const stand = match.kind === 'refuse' ? { ...match, kind: 'deny' as const } : answerOf(match, providers);
    if (stand.kind === 'deny' && isCertain) return stand;
    if (stand.kind !== 'allow') unknown ??= match.kind === 'ask' ? match.provider.name : match.policy;
  }
  return unknown === undefined ? { kind: 'allow' } : { kind: 'unknown', provider: unknown };
}

/** Names of those who were asked and allowed: what they changed is in the headers that are recorded. */
export function allowedBy(providers: string): readonly string[] {
  return [...providers.matchAll(/(?:^|; )([^:;]+): allowed,/g)].map((match) => match[1] ?? '');
}

function answerOf(
  { provider, policy, rule }: Extract<ExternalMatch, { kind: 'ask' }>,
  providers: string,
): ProviderStand {
  const { name, failOpen } = provider;
  const denied = (code: Refusal['code'], said: string): Refusal => ({
    ...{ kind: 'deny', code, policy, rule },
    reason: `provider ${name}, by rule ${rule} of CUSTOM policy ${policy}, ${said} when it was recorded`,
  });
  const said = (word: string) => providers.startsWith(`${name}: ${word}`) || providers.includes(`; ${name}: ${word}`);
  if (said('allowed,')) return { kind: 'allow' };
  if (said('denied,')) return denied('authorization_provider_denied', 'denied');
  if (!said('failed')) return { kind: 'unknown', provider: name };
  return failOpen ? { kind: 'allow' } : denied('authorization_provider_unavailable', 'gave no answer');
}
