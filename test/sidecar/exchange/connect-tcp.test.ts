import net from 'node:net';
import t from 'tap';
import type { WorkloadPolicy } from '#policy/workload-policy.ts';
import { connectTcp } from '#sidecar/exchange/connect-tcp.ts';
import { TcpPassage } from '#sidecar/exchange/tcp-passage.ts';
import { listen, portOf } from '../../support/free-ports.ts';

t.test(
  'for a caller whose connection was ended meanwhile, as while a provider was asked, nobody is called',
  async (t) => {
    const server = await listen(net.createServer());
    t.teardown(() => server.close());
    const socket = net.connect(portOf(server), '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.destroy();
    await new Promise((resolve) => socket.once('close', resolve));
    const caller = { address: '127.0.0.1', port: 1, certificate: undefined };
    const connection = { socket, caller, firstBytes: Buffer.alloc(0), isOtherProtocol: undefined };
    let isDialled = false;
    const connecting = connectTcp(new TcpPassage('inbound', connection, {} as WorkloadPolicy), () => {
      isDialled = true;
    });
    await t.rejects(Promise.race([connecting, new Promise((resolve) => setTimeout(resolve, 500))]), {
      code: 'client_gone',
    });
    t.equal(isDialled, false);
  },
);
