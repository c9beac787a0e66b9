import type { ExternalMatch } from '#policy/authorization/external-rules.ts';
import type { Code } from '#policy/error/codes.ts';
import { Refusal, type RefusalFacts } from '#policy/error/refusal.ts';
import type { CheckedConnection } from '../authorization/checked-request.ts';
import type { Providers } from '../authorization/providers.ts';
import type { RequestChanges, Verdict } from '../authorization/verdict.ts';
import type { Passage } from '../exchange/passage.ts';
import type { Caller } from '../http/message.ts';

/** Asks the provider that a rule names, records what it says, and refuses by it. What it wants changed is the answer. */
export async function settleMatch(
  passage: Passage,
  match: ExternalMatch,
  providers: Providers,
  tell: () => CheckedConnection,
): Promise<RequestChanges | undefined> {
  const { policy, rule } = match;
  if (match.kind === 'refuse') {
    refuse(passage, match.code, match.reason, { policy, rule });
    return undefined;
  }
  const { provider } = match;
  const verdict = await ask(passage, match, providers, tell());
  note(passage, `${provider.name}: ${shown(verdict, provider.failOpen)}`);
  const place = `provider ${provider.name}, by rule ${rule} of CUSTOM policy ${policy}`;
  switch (verdict.kind) {
    case 'allowed':
      return verdict.changes;
    case 'denied': {
      const facts = { policy, rule, answer: verdict.answer };
      refuse(passage, 'authorization_provider_denied', `${place}, denied: ${verdict.status}`, facts);
      return undefined;
    }
    case 'failed': {
      if (provider.failOpen) return undefined;
      const facts = { policy, rule, status: provider.statusOnError };
      refuse(passage, 'authorization_provider_unavailable', `${place}: ${verdict.reason}`, facts);
      return undefined;
    }
  }
}

/** What is told of any connection. */
export function connectionOf(passage: Passage, caller: Caller, ownIdentity: string): CheckedConnection {
  return {
    principal: passage.source?.uri ?? '',
    address: caller.address,
    port: caller.port,
    ownPrincipal: ownIdentity,
    ownAddress: passage.destinationIp ?? '',
    ownPort: passage.port,
    serverName: caller.serverName,
    startedAtMs: passage.startedAtMs,
    http: undefined,
  };
}

async function ask(
  passage: Passage,
  { provider }: Extract<ExternalMatch, { kind: 'ask' }>,
  providers: Providers,
  checked: CheckedConnection,
): Promise<Verdict> {
  if (passage.givenUp !== undefined) throw passage.givenUp;
  const ending = new AbortController();
  passage.waitFor('provider');
  passage.onGivenUp = (refusal) => ending.abort(refusal);
  try {
    return await providers.ask(provider, passage.policy, checked, ending.signal);
  } finally {
    passage.onGivenUp = undefined;
  }
}

function refuse(passage: Passage, code: Code, reason: string, facts: RefusalFacts): void {
  if (passage.policy.defaults.mode === 'Enforce') throw new Refusal(code, reason, facts);
  passage.audit({ code, reason, facts });
}

function note(passage: Passage, said: string): void {
  passage.providers = passage.providers === undefined ? said : `${passage.providers}; ${said}`;
}

function shown(verdict: Verdict, failOpen: boolean): string {
  if (verdict.kind === 'failed') return `${failOpen ? 'failed, let pass' : 'failed'}: ${verdict.reason}`;
  return `${verdict.kind}, ${verdict.status}`;
}
