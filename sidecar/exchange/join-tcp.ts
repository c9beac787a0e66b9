import { Refusal } from '#policy/error/refusal.ts';
import type { TcpConnection } from '../listener/tcp-connection.ts';
import { joinStreams } from './join-streams.ts';
import type { ConnectedTcp } from './tcp-passage.ts';

/** Passes bytes on until both sides have ended. Refuses: late_protocol, idle_timeout, client_gone, upstream_unavailable. */
export function joinTcp(passage: ConnectedTcp): Promise<void> {
  passage.enter('join');
  const { upstream, connection } = passage;
  passage.waitFor('tcp');
  return joinStreams(passage, connection.socket, upstream, {
    first: connection.firstBytes, // not put back: the stream may have ended behind them
    inspect: openingGuard(connection),
  });
}

/** Watches what was decided to be TCP because nothing came in time, until it is certain that it is. */
function openingGuard({ isOtherProtocol }: TcpConnection): ((chunk: Buffer) => void) | undefined {
  if (isOtherProtocol === undefined) return undefined;
  let opening: Buffer | undefined = Buffer.alloc(0);
  return (chunk) => {
    if (opening === undefined) return;
    opening = Buffer.concat([opening, chunk]);
    const isOther = isOtherProtocol(opening);
    if (isOther === true) throw new Refusal('late_protocol', 'served as TCP, the caller began HTTP or TLS after all');
    if (isOther === false) opening = undefined;
  };
}
