import { headerValue } from '#policy/http/flat-headers.ts';
import { toldHeaders } from './answer.ts';
import type { Answered } from './forward.ts';
import { joinStreams } from './join-streams.ts';

/**
 * Waits for the end of the response, which goes on to the caller since its head came (see Answer); or joins the two connections
 * after a 101. Resolves when the last byte has been handed to the caller's codec.
 */
export function respond(answered: Answered): Promise<void> {
  return answered.kind === 'answer' ? answered.answer.end() : join(answered);
}

function join({ exchange, head, switched }: Extract<Answered, { kind: 'switch' }>): Promise<void> {
  exchange.enter('respond');
  exchange.status = head.status;
  exchange.isAnswered = true;
  const told = toldHeaders(exchange, head.headers);
  const headers = [...told, 'connection', 'Upgrade', 'upgrade', headerValue(head.headers, 'upgrade') ?? ''];
  exchange.waitFor('switched');
  return joinStreams(exchange, exchange.server.switchProtocols({ ...head, headers }), switched);
}
