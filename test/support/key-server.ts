import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

/** A real server of keys, whose answer tests change. */
export interface KeyServer {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: string[];
  answer: RequestListener;
  /** Nobody listens any more; connections are cut. */
  stop(): Promise<void>;
  /** On the same port as before. */
  start(): Promise<void>;
}

export async function startKeyServer(t: Test, text: () => string): Promise<KeyServer> {
  const asked: string[] = [];
  let port = 0;
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    keyServer.answer(request, response);
  });
  const keyServer = {
    url: '',
    asked,
    answer: ((_request, response) => response.end(text())) as RequestListener,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    async start() {
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      port = (server.address() as AddressInfo).port;
      keyServer.url = `http://127.0.0.1:${port}/jwks`;
    },
  };
  await keyServer.start();
  t.teardown(() => keyServer.stop());
  return keyServer;
}
