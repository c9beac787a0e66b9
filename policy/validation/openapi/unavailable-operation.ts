import type { SchemaFault } from '../schema/schema-references.ts';
import type { ReadOperation } from './read-openapi.ts';

/** An operation as those who wrote its description know it: `GET /orders/{id}`, `webhook paid`. */
export function titleOf({ method, template, webhook }: ReadOperation): string {
  return webhook === undefined ? `${method} ${template}` : `webhook ${webhook}`;
}

/** What becomes of requests that cannot be checked. */
export function refusalOfRequests(title: string, fault: SchemaFault): string {
  return `${title} is refused: ${fault.message}`;
}

/**
 * What becomes of responses that cannot be checked: nothing where a policy does not ask for them, a record with Audit, a refusal with Enforce.
 * Requests are judged all the same. `others`: responses with the same fault.
 */
export function refusalOfResponses(title: string, fault: SchemaFault, others = 0): string {
  const more = others === 0 ? '' : ` and ${others} more ${others === 1 ? 'response' : 'responses'}`;
  return `${title}${more} cannot be checked; refused where responses are enforced: ${fault.message}`;
}
