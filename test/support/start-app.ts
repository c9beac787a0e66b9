import http from 'node:http';
import type { Test } from 'tap';
import { listen, portOf } from './free-ports.ts';

/** An app behind a sidecar; ends with the test. */
export async function startApp(t: Test, handle: http.RequestListener): Promise<{ port: number; server: http.Server }> {
  const server = await listen(http.createServer(handle));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return { port: portOf(server), server };
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly trailers: readonly string[];
  readonly body: string;
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: http.OutgoingHttpHeaders | readonly string[];
  readonly body?: string | Buffer;
}

/** Asks through an outbound port for server.test. */
export function ask(port: number, { method = 'GET', path = '/', headers = {}, body }: Ask = {}): Promise<Answer> {
  const all = Array.isArray(headers) ? headers : { host: 'server.test', ...headers };
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, method, path, headers: all, agent: false });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          trailers: response.rawTrailers,
          body: text,
        }),
      );
    });
    request.end(body);
  });
}

/** The `code` of a refusal's body. */
export function codeOf(answer: Answer): string {
  const parsed: unknown = JSON.parse(answer.body);
  return typeof parsed === 'object' && parsed !== null && 'code' in parsed ? String(parsed.code) : '';
}
