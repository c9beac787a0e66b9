import http from 'node:http';

/** A plain HTTP service of the example: it knows nothing of the mesh. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: unknown;
}

export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

/** Serves JSON at HOST (127.0.0.1) and PORT (8080) of the environment, until SIGTERM; requests under way end first. */
export function serve(name: string, handle: (call: Call) => Promise<Reply>): void {
  const server = http.createServer((request, response) => {
    void answer(request, handle).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(`${JSON.stringify(body)}\n`);
    });
  });
  server.listen(Number(process.env.PORT ?? 8080), process.env.HOST ?? '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ event: 'ready', service: name })}\n`);
  });
  process.once('SIGTERM', () => {
    server.close();
    server.closeIdleConnections();
  });
}

async function answer(request: http.IncomingMessage, handle: (call: Call) => Promise<Reply>): Promise<Reply> {
  const url = new URL(request.url ?? '/', 'http://service');
  try {
    const text = await readText(request);
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    return await handle({
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body,
    });
  } catch (error) {
    return { status: 500, body: { error: error instanceof Error ? error.message : String(error) } };
  }
}

/**
 * Calls another service by its name. The trace goes on as any instrumented service would let it: by
 * handing `traceparent` from the request it serves to the request it makes.
 */
export function call(method: string, url: string, from: Call, body?: unknown): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers: http.OutgoingHttpHeaders = { 'content-type': 'application/json' };
    for (const name of ['traceparent', 'tracestate', 'x-request-id']) {
      const value = from.headers[name];
      if (value !== undefined) headers[name] = value;
    }
    const request = http.request(url, { method, headers }, (response) => {
      readText(response).then(
        (text) => resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) }),
        reject,
      );
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function readText(stream: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
