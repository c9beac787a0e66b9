import type { ExternalMatch } from '#policy/authorization/external-rules.ts';
import { Refusal } from '#policy/error/refusal.ts';
import type { CheckedBody } from '../authorization/checked-request.ts';
import type { Authenticated } from '../exchange/exchange.ts';
import { holdBody } from '../exchange/hold-body.ts';

type Asking = Extract<ExternalMatch, { kind: 'ask' }>;

/**
 * Calls `tell` with as much of the request's body as the provider is told of; undefined: of none. What was read is kept, to be sent
 * on. Refuses: body_too_large, whatever else the provider's settings say, as in Istio.
 */
export async function checkedBody<T>(
  exchange: Authenticated,
  { provider, policy, rule }: Asking,
  tell: (body: CheckedBody | undefined) => Promise<T>,
): Promise<T> {
  const { body: wanted, name } = provider;
  if (wanted === undefined) return tell(undefined);
  const { maxBytes, allowsPart } = wanted;
  const body = exchange.heldBody ?? (exchange.server.body.isPresent ? exchange.server.body : EMPTY);
  const part = (bytes: Buffer) => ({ bytes: bytes.subarray(0, maxBytes), isPart: bytes.length > maxBytes });
  const refuseLonger = () => {
    if (allowsPart) return;
    const reason = `the body exceeds maxRequestBytes ${maxBytes} of provider ${name}`;
    const facts = { policy, rule, limit: `maxRequestBytes ${maxBytes}` };
    if (exchange.policy.defaults.mode === 'Enforce') throw new Refusal('body_too_large', reason, facts);
    exchange.audit({ code: 'body_too_large', reason, facts });
  };
  if (Buffer.isBuffer(body)) {
    if (body.length > maxBytes) refuseLonger();
    return tell(part(body));
  }
  if ((body.declaredLength ?? 0) > maxBytes) refuseLonger();
  return holdBody(exchange, body, maxBytes, 'caller', (held) => {
    if (held.isWhole) {
      exchange.heldBody = held.bytes;
      exchange.bytesIn = held.bytes.length; // nobody counts a body that is sent in one piece
      return tell({ bytes: held.bytes, isPart: false });
    }
    exchange.heldBody = held.body;
    refuseLonger();
    return tell(part(held.read()));
  });
}

const EMPTY = Buffer.alloc(0);
