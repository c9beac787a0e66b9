import type { ListedToken } from '#control-plane/tokens/token-store.ts';
import { plain, table } from '../operations/table.ts';

const HEADER = ['ID', 'FOR', 'EXPIRES', 'USES', 'USED'];

/** A line for each token, without its secret. */
export function tokenTable(tokens: readonly ListedToken[]): string {
  return table([HEADER, ...tokens.map((token) => factsOf(token)).map(row)]);
}

/** What is said of a token, for people and for programs. */
export interface TokenFacts {
  readonly id: string;
  /** `NAMESPACE/SERVICE-ACCOUNT`, or null: it is an operator's. */
  readonly workload: string | null;
  /** An operator's that is also good for changes of the authority. */
  readonly mayChangeAuthority: boolean;
  readonly expiresAt: string;
  readonly isReusable: boolean;
  readonly isRevoked: boolean;
  /** 1 or 0; null: any number until it expires. */
  readonly usesLeft: number | null;
  readonly usedAt: string | null;
}

export function factsOf({ id, grant, state, usedAtMs }: ListedToken): TokenFacts {
  const isOperator = 'isOperator' in grant;
  const isReusable = isOperator || grant.isReusable;
  const isRevoked = state === 'revoked';
  return {
    id,
    workload: isOperator ? null : `${grant.namespace}/${grant.serviceAccount}`,
    mayChangeAuthority: isOperator && grant.mayChangeAuthority === true,
    expiresAt: new Date(grant.expiresAtMs).toISOString(),
    isReusable,
    isRevoked,
    usesLeft: isRevoked ? 0 : isReusable ? null : state === 'fresh' ? 1 : 0,
    usedAt: usedAtMs === undefined ? null : new Date(usedAtMs).toISOString(),
  };
}

function row({
  id,
  workload,
  mayChangeAuthority,
  expiresAt,
  isRevoked,
  usesLeft,
  usedAt,
}: TokenFacts): readonly string[] {
  const holder = workload ?? (mayChangeAuthority ? 'operators' : 'operators, to look on');
  const uses = isRevoked ? 'revoked' : usesLeft === null ? 'any' : String(usesLeft);
  return [id, holder, expiresAt, uses, usedAt ?? '-'].map(plain);
}
