import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import type { Providers } from '../authorization/providers.ts';
import { connectTcp } from '../exchange/connect-tcp.ts';
import { joinTcp } from '../exchange/join-tcp.ts';
import { type Recorder, recordTcp } from '../exchange/record.ts';
import { asRefusal } from '../exchange/refuse.ts';
import type { StallWatch } from '../exchange/stall-watch.ts';
import { type IdentifiedTcp, TcpPassage } from '../exchange/tcp-passage.ts';
import { dial } from '../http/dial.ts';
import type { TcpConnection } from '../listener/tcp-connection.ts';
import { authorizeTcp } from './authorize-tcp.ts';
import { consultTcp } from './consult-tcp.ts';
import type { AppTarget } from './route.ts';

/** What the TCP side of an inbound listener works with. */
export interface InboundTcp {
  /** The law in force now; a connection keeps the one it began under. */
  policy(): WorkloadPolicy;
  readonly app: AppTarget;
  /** Own SPIFFE ID. */
  readonly ownIdentity: string;
  readonly providers: Providers;
  readonly watch: StallWatch;
  readonly recorders: readonly Recorder[];
}

/**
 * A connection from another workload that is no HTTP, on its way to the app. Each line is a stage; each may refuse by
 * throwing: then the connection is closed without a byte, and the app hears nothing of it.
 */
export async function serveInboundTcp(connection: TcpConnection, inbound: InboundTcp): Promise<void> {
  const passage = new TcpPassage('inbound', connection, inbound.policy());
  const { socket } = connection;
  socket.on('error', () => {}); // 'close' follows
  try {
    inbound.watch.add(passage);
    const identified = identify(passage, inbound);
    const consulting = consultTcp(identified, inbound.providers, inbound.ownIdentity);
    const consulted = consulting instanceof Promise ? await consulting : consulting;
    const permitted = authorizeTcp(consulted);
    const { address, port } = inbound.app;
    const connected = await connectTcp(permitted, (callback) => dial(address, port, undefined, callback));
    await joinTcp(connected);
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
  const { port, destinationIp } = inbound.app;
  return Object.assign(passage, { source, destination: inbound.ownIdentity, port, destinationIp });
}
