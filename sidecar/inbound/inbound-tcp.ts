import { Refusal } from '#policy/error/refusal.ts';
import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import { joinStreams } from '../exchange/join-streams.ts';
import { type Recorder, recordTcp } from '../exchange/record.ts';
import { asRefusal } from '../exchange/refuse.ts';
import type { StallWatch } from '../exchange/stall-watch.ts';
import { type ConnectedTcp, type IdentifiedTcp, TcpPassage } from '../exchange/tcp-passage.ts';
import type { TcpConnection } from '../listener/tcp-connection.ts';
import { authorizeTcp } from './authorize-tcp.ts';
import { connectApp } from './connect-app.ts';
import type { AppTarget } from './route.ts';

/** What the TCP side of an inbound listener works with. */
export interface InboundTcp {
  /** The law in force now; a connection keeps the one it began under. */
  policy(): WorkloadPolicy;
  readonly app: AppTarget;
  /** Own SPIFFE ID. */
  readonly ownIdentity: string;
  readonly watch: StallWatch;
  readonly recorders: readonly Recorder[];
}

/**
 * A connection from another workload that is no HTTP, on its way to the app. Each line is a stage; each may refuse by
 * throwing: then the connection is closed without a byte, and the app hears nothing of it.
 */
export async function serveInboundTcp(connection: TcpConnection, inbound: InboundTcp): Promise<void> {
  const passage = new TcpPassage(connection, inbound.policy());
  const { socket } = connection;
  socket.on('error', () => {}); // 'close' follows
  try {
    inbound.watch.add(passage);
    const identified = identify(passage, inbound);
    const permitted = authorizeTcp(identified);
    const connected = await connectApp(permitted, inbound.app);
    await join(connected);
  } catch (error) {
    passage.fail(asRefusal(error));
    socket.destroy();
  } finally {
    inbound.watch.delete(passage);
    recordTcp(passage, inbound.recorders);
  }
}

function identify(passage: TcpPassage, inbound: InboundTcp): IdentifiedTcp {
  passage.enter('identify');
  const source = passage.connection.caller.certificate?.identity ?? null;
  return Object.assign(passage, { source, destination: inbound.ownIdentity, port: inbound.app.port });
}

/** Passes bytes on until both sides have ended. Refuses: late_protocol, idle_timeout, client_gone, upstream_unavailable. */
function join(passage: ConnectedTcp): Promise<void> {
  passage.enter('join');
  const { app, connection } = passage;
  passage.waitFor('tcp');
  return joinStreams(passage, connection.socket, app, {
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
