import type { AuthorityFacts } from '../authority/authority-facts.ts';
import { type AuthorityOperations, ChangeRefused } from '../authority/authority-operations.ts';
import type { StatusActions, StatusPage } from '../status/status-server.ts';
import { changeOfJson } from './authority-calls.ts';

const STATUS_OF = { invalid: 400, not_now: 409 } as const;

/** The page /authority: how things are, and by POST one change of them. */
export function authorityActions(operations: Pick<AuthorityOperations, 'facts' | 'make'>): StatusActions {
  return {
    '/authority': {
      show: async () => pageOf(await operations.facts()),
      async act(body) {
        try {
          return pageOf(await operations.make(changeOfJson(body), 'an operator on loopback'));
        } catch (error) {
          if (!(error instanceof ChangeRefused)) throw error;
          return {
            contentType: 'text/plain; charset=utf-8',
            body: `${error.message}\n`,
            status: STATUS_OF[error.kind],
          };
        }
      },
    },
  };
}

function pageOf(facts: AuthorityFacts): StatusPage {
  return { contentType: 'application/json', body: `${JSON.stringify(facts, null, 2)}\n` };
}
