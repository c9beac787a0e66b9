import { Background, run, until } from './cluster-tools.ts';

/** What a call from within a pod came to. */
export interface CallOutcome {
  /** 0: no HTTP answer. */
  readonly status: number;
  /** The refusal's code, or the error of the connection. */
  readonly code: string;
  readonly decisionId: string;
  readonly body: string;
}

/** Runs in a container of the example's image: one call, its outcome as a line of JSON. */
const CALL = `
const [method, url, body, headers] = JSON.parse(process.env.CALL ?? process.argv.at(-1));
try {
  const response = await fetch(url, { method, body, headers, signal: AbortSignal.timeout(10_000) });
  const text = await response.text();
  let code = '';
  try { code = JSON.parse(text).code ?? ''; } catch {}
  console.log(JSON.stringify({ status: response.status, code, decisionId: response.headers.get('lateral-decision') ?? '', body: text }));
} catch (error) {
  console.log(JSON.stringify({ status: 0, code: error.cause?.code ?? error.cause?.message ?? error.message, decisionId: '', body: '' }));
}
`;

/** Calls from within a pod of the example (`deploy/client`), by the container's own Node. */
export async function callFrom(
  target: string,
  method: string,
  url: string,
  { namespace = 'shop', body, headers = {} }: { namespace?: string; body?: unknown; headers?: object } = {},
): Promise<CallOutcome> {
  const container = target.replace(/^.*\//, '');
  const call = JSON.stringify([
    method,
    url,
    body === undefined ? undefined : JSON.stringify(body),
    body === undefined ? headers : { 'content-type': 'application/json', ...headers },
  ]);
  const args = ['exec', '-n', namespace, target, '-c', container, '--', '/usr/local/bin/node', '--input-type=module'];
  const { stdout, stderr } = await run('kubectl', [...args, '-e', CALL, call]);
  const line = stdout.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) throw new Error(`no outcome of ${method} ${url}: ${stderr}${stdout}`);
  return JSON.parse(line);
}

/** Runs in a container: `concurrency` loops of calls until standard input ends, then what they came to. */
const LOAD = `
import http from 'node:http';
const [url, concurrency, freshShare] = JSON.parse(process.argv.at(-1));
const agent = new http.Agent({ keepAlive: true });
const outcomes = {};
let isOver = false, count = 0;
const once = () => new Promise((resolve) => {
  const isFresh = count++ % 10 < freshShare * 10;
  const request = http.get(url, { agent: isFresh ? new http.Agent() : agent, timeout: 20_000 }, (response) => {
    response.resume();
    response.on('end', () => resolve(String(response.statusCode)));
    response.on('error', (error) => resolve('broken ' + error.message));
  });
  request.on('timeout', () => request.destroy(new Error('timeout')));
  request.on('error', (error) => resolve('error ' + (error.code ?? error.message)));
});
const loop = async () => {
  while (!isOver) {
    const outcome = await once();
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (outcome !== '200') console.log(new Date().toISOString() + ' ' + outcome);
  }
};
process.stdin.on('end', () => { isOver = true; });
process.stdin.resume();
console.log('begun');
await Promise.all(Array.from({ length: concurrency }, loop));
console.log('OUTCOMES ' + JSON.stringify(outcomes));
process.exit();
`;

/** Load from a pod while something else happens; `finish` ends it and tells how often each outcome was seen. */
export class Load {
  readonly #background: Background;

  private constructor(background: Background) {
    this.#background = background;
  }

  static async begin(target: string, url: string, { namespace = 'shop', concurrency = 8 } = {}): Promise<Load> {
    const container = target.replace(/^.*\//, '');
    const background = new Background('kubectl', [
      ...['exec', '-i', '-n', namespace, target, '-c', container, '--', '/usr/local/bin/node', '--input-type=module'],
      ...['-e', LOAD, JSON.stringify([url, concurrency, 0.1])],
    ]);
    await background.line(/^begun$/);
    return new Load(background);
  }

  async finish(): Promise<{ readonly outcomes: { readonly [outcome: string]: number }; readonly failures: string[] }> {
    this.#background.closeInput();
    const [, text] = await this.#background.line(/^OUTCOMES (.*)$/);
    await this.#background.ended();
    const outcomes = JSON.parse(text ?? '{}');
    return { outcomes, failures: this.#background.lines.filter((line) => /^\d{4}-.*Z /.test(line)) };
  }
}

/** Runs in a container: one loop of calls, one connection of TCP; each change of what they come to is a line. */
const WATCH = `
import http from 'node:http';
import net from 'node:net';
const [url, pipe] = JSON.parse(process.argv.at(-1));
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const last = {};
const tell = (what, outcome) => {
  if (last[what] === outcome) return;
  last[what] = outcome;
  console.log(Date.now() + ' ' + what + ' ' + outcome);
};
const codeOf = (text) => { try { return ' ' + JSON.parse(text).code; } catch { return ''; } };
const once = () => new Promise((resolve) => {
  const request = http.get(url, { agent, timeout: 10_000 }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (part) => { text += part; });
    response.on('end', () => resolve(response.statusCode + codeOf(text)));
    response.on('error', (error) => resolve('broken ' + error.message));
  });
  request.on('timeout', () => request.destroy(new Error('timeout')));
  request.on('error', (error) => resolve('error ' + (error.code ?? error.message)));
});
const [host, port] = pipe.split(':');
const socket = net.connect({ host, port: Number(port) });
socket.on('data', () => tell('tcp', 'open'));
socket.on('error', () => {});
socket.on('close', () => tell('tcp', 'closed'));
setInterval(() => { if (socket.writable) socket.write('x'); }, 50);
process.stdin.on('end', () => process.exit());
process.stdin.resume();
for (;;) {
  tell('http', await once());
  await new Promise((resolve) => setTimeout(resolve, 50));
}
`;

/** Goes on calling from a pod: a URL over one connection, and `HOST:PORT` of a server that echoes over another. */
export class Watch {
  readonly #background: Background;

  private constructor(background: Background) {
    this.#background = background;
  }

  static begin(target: string, url: string, pipe: string, namespace: string): Watch {
    const container = target.replace(/^.*\//, '');
    return new Watch(
      new Background('kubectl', [
        ...['exec', '-i', '-n', namespace, target, '-c', container, '--', '/usr/local/bin/node'],
        ...['--input-type=module', '-e', WATCH, JSON.stringify([url, pipe])],
      ]),
    );
  }

  /** When (by the pod's clock) an outcome as `http 200` or `tcp closed` was seen for the first time after `sinceMs`. */
  async saw(outcome: RegExp, sinceMs = 0, timeoutMs = 30_000): Promise<number> {
    const found = await until(
      `${outcome}`,
      async () => this.changes(sinceMs),
      (changes) => changes.some((change) => outcome.test(change.outcome)),
      timeoutMs,
    );
    return found.find((change) => outcome.test(change.outcome))?.atMs ?? Number.NaN;
  }

  changes(sinceMs = 0): readonly { readonly atMs: number; readonly outcome: string }[] {
    return this.#background.lines.flatMap((line) => {
      const [, atMs, outcome] = /^(\d{13}) (.*)$/.exec(line) ?? [];
      return outcome === undefined || Number(atMs) <= sinceMs ? [] : [{ atMs: Number(atMs), outcome }];
    });
  }

  async end(): Promise<void> {
    this.#background.closeInput();
    await this.#background.ended();
  }
}
