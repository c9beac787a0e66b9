import net from 'node:net';

/**
 * Has each connection of this process come from another address of loopback, as those of pods do: the control plane bounds what one address
 * may have under way. gRPC has no option for it.
 */
export function comeFromManyAddresses(): void {
  const { connect } = net;
  const host = () => `127.1.${Math.floor(Math.random() * 256)}.${1 + Math.floor(Math.random() * 254)}`;
  const connectFrom = (options: net.NetConnectOpts, listener?: () => void) =>
    connect({ ...options, localAddress: host() }, listener);
  Object.assign(net, { connect: connectFrom });
}
