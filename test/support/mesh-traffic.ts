import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What went wrong with one request, and when. */
export interface FailedRequest {
  readonly atMs: number;
  readonly host: string;
  readonly why: string;
}

/** A stream, from its first byte to its end; milliseconds since the epoch. */
export interface StreamLife {
  readonly host: string;
  readonly fromMs: number;
  readonly toMs: number;
}

const PAUSE_MS = 20;
const REQUEST_TIMEOUT_MS = 20_000;

/** Requests through an outbound port, one after the other for each host, and a stream to each that is begun anew when it ends. */
export class MeshTraffic {
  /** Requests that were answered with 200. */
  served = 0;
  readonly failed: FailedRequest[] = [];
  readonly streams: StreamLife[] = [];
  readonly #port: number;
  readonly #now: () => number;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #ended = new AbortController();
  readonly #running: Promise<void>[];

  constructor(port: number, hosts: readonly string[], now: () => number) {
    this.#port = port;
    this.#now = now;
    this.#running = hosts.flatMap((host) => [this.#askForever(host), this.#streamForever(host)]);
  }

  /** Resolves once each host has answered a request that began after this call, or has failed one. */
  async round(): Promise<void> {
    const before = this.served + this.failed.length;
    // of all hosts two: the first of each may have begun before
    while (this.served + this.failed.length < before + this.#running.length && !this.#ended.signal.aborted)
      await sleep(5);
  }

  async end(): Promise<void> {
    this.#ended.abort();
    this.#agent.destroy();
    await Promise.all(this.#running);
  }

  async #askForever(host: string): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const atMs = this.#now();
      try {
        const { status, body } = await this.#ask(host);
        if (status === 200) this.served++;
        else this.failed.push({ atMs, host, why: `${status} ${body}` });
      } catch (error) {
        if (!signal.aborted) this.failed.push({ atMs, host, why: String(error) });
      }
      await sleep(PAUSE_MS);
    }
  }

  #ask(host: string): Promise<{ readonly status: number; readonly body: string }> {
    const options = { host: '127.0.0.1', port: this.#port, path: '/', headers: { host }, agent: this.#agent };
    return new Promise((resolve, reject) => {
      const request = http.request({ ...options, timeout: REQUEST_TIMEOUT_MS }, (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      request.on('timeout', () => request.destroy(new Error(`no answer in ${REQUEST_TIMEOUT_MS} ms`)));
      request.on('error', reject);
      request.end();
    });
  }

  async #streamForever(host: string): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const fromMs = this.#now();
      const status = await this.#stream(host);
      if (signal.aborted) return;
      if (status === 200) this.streams.push({ host, fromMs, toMs: this.#now() });
      else this.failed.push({ atMs: fromMs, host, why: `the stream began with ${status}` });
      await sleep(PAUSE_MS);
    }
  }

  /** Reads to the end, whatever it is; resolves to the status. */
  #stream(host: string): Promise<number> {
    const options = { host: '127.0.0.1', port: this.#port, path: '/stream', headers: { host }, agent: false };
    return new Promise((resolve) => {
      const request = http.request({ ...options, signal: this.#ended.signal }, (response) => {
        response.resume();
        response.on('error', () => {});
        response.on('close', () => resolve(response.statusCode ?? 0));
      });
      request.on('error', () => resolve(0));
      request.end();
    });
  }
}
