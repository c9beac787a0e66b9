import http from 'node:http';
import type { Dial } from './dial.ts';

/** An answer has to be complete by then. */
const PAGE_TIMEOUT_MS = 20_000;
/** Largest page: 10,000 proxies or 1,000 decisions at their longest are smaller. */
export const MAX_PAGE_BYTES = 64 * 1024 * 1024;

/** What is shown of an answer that refuses. */
const MAX_SHOWN_REFUSAL = 1_000;

/** Opens `GET path`; resolves with the answer once it has begun. The caller reads it, or destroys it. */
export function openPage(dial: Dial, path: string): Promise<http.IncomingMessage> {
  return open(dial, path, undefined);
}

async function open(dial: Dial, path: string, body: string | undefined): Promise<http.IncomingMessage> {
  const connection = await dial();
  const posted =
    body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const request = http.request({
      method: body === undefined ? 'GET' : 'POST',
      path,
      headers: { host: '127.0.0.1', ...posted },
      createConnection: () => connection,
    });
    request.end(body);
    request.once('response', resolve);
    request.on('error', (error: Error) => {
      connection.destroy();
      reject(error);
    });
  });
}

/** The JSON of a page. Rejects with a sentence where it is another status, too large or too slow. */
export async function getPage(dial: Dial, path: string): Promise<unknown> {
  return answerOf(await openPage(dial, path), (status, text) => `${path}: ${status} ${text}`);
}

/** Posts JSON to a page; resolves to the JSON that it answers. Rejects with its sentence where it refuses. */
export async function postJson(dial: Dial, path: string, body: unknown): Promise<unknown> {
  return answerOf(await open(dial, path, JSON.stringify(body)), (_status, text) => text);
}

async function answerOf(
  response: http.IncomingMessage,
  refusal: (status: number | undefined, text: string) => string,
): Promise<unknown> {
  const timer = setTimeout(
    () => response.destroy(new Error(`no whole answer in ${PAGE_TIMEOUT_MS} ms`)),
    PAGE_TIMEOUT_MS,
  );
  try {
    const text = await textOfAnswer(response);
    if (response.statusCode !== 200) {
      throw new Error(refusal(response.statusCode, text.trim().slice(0, MAX_SHOWN_REFUSAL)));
    }
    return JSON.parse(text);
  } finally {
    clearTimeout(timer);
  }
}

/** The whole body, in UTF-8. */
export async function textOfAnswer(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > MAX_PAGE_BYTES) throw new Error(`an answer of over ${MAX_PAGE_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
