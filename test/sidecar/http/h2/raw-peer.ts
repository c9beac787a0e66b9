import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { PREFACE } from '#sidecar/http/h2/frame.ts';
import { HeaderDecoder } from '#sidecar/http/h2/hpack/header-decoder.ts';
import { clientPreface, describe, FrameSplitter, headers, request, settingsAck } from './frames.ts';

/** How long a test waits for what must come; slow machines need some of it. */
const PATIENCE_MS = 20_000;

/** A peer that says what it likes on a real connection. */
export class RawPeer {
  readonly socket: Duplex;
  /** Frames that came, as `describe` tells them; DATA by its length. */
  readonly frames: string[] = [];
  isClosed = false;
  /** Called at each frame. */
  onFrame: (line: string) => void = () => {};
  readonly #splitter = new FrameSplitter();
  readonly #decoder = new HeaderDecoder(65_536);
  #look: () => void = () => {};

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      for (const frame of this.#splitter.push(this.#behindPreface(bytes))) {
        const line = describe(frame, this.#decoder);
        this.frames.push(line);
        this.onFrame(line);
      }
      this.#look();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.#look();
    });
  }

  /** A client begins with what is no frame; as it is short, it comes in one piece. */
  #behindPreface(bytes: Buffer): Buffer {
    if (this.frames.length > 0 || !bytes.subarray(0, PREFACE.length).equals(PREFACE)) return bytes;
    return bytes.subarray(PREFACE.length);
  }

  /** Opens a connection in plaintext and greets. */
  static async connect(port: number, ...pairs: readonly (readonly [number, number])[]): Promise<RawPeer> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    const peer = new RawPeer(socket);
    peer.say(clientPreface(...pairs), settingsAck);
    return peer;
  }

  say(...bytes: readonly Buffer[]): void {
    this.socket.write(bytes.length === 1 ? bytes[0] : Buffer.concat(bytes));
  }

  /** Says it `times` times, no faster than it is read, until the other side has enough; returns how often. */
  async flood(times: number, bytes: (index: number) => Buffer, perWrite = 200): Promise<number> {
    for (let index = 0; index < times; index += perWrite) {
      if (this.isClosed || !this.socket.writable || this.gone) return index;
      const count = Math.min(perWrite, times - index);
      const written = this.socket.write(Buffer.concat(Array.from({ length: count }, (_, at) => bytes(index + at))));
      if (!written) await Promise.race([once(this.socket, 'drain'), once(this.socket, 'close')]).catch(() => {});
      else await new Promise((resolve) => setImmediate(resolve));
    }
    return times;
  }

  /** The GOAWAY that came, if any. */
  get gone(): string | undefined {
    return this.frames.find((line) => line.startsWith('GOAWAY'));
  }

  /** Waits until it is so; rejects with what came instead. */
  async until(what: string, isSo: (frames: readonly string[]) => boolean): Promise<void> {
    if (isSo(this.frames)) return;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`${what} did not come; the last: ${this.frames.slice(-5).join(' | ')}`)),
        PATIENCE_MS,
      );
      this.#look = () => {
        if (!isSo(this.frames) && !this.isClosed) return;
        clearTimeout(timer);
        this.#look = () => {};
        if (isSo(this.frames)) resolve();
        else reject(new Error(`closed before ${what}; the last: ${this.frames.slice(-5).join(' | ')}`));
      };
    });
  }

  /** Waits until the other side has closed. */
  async untilClosed(): Promise<void> {
    if (this.isClosed) return;
    this.socket.resume();
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`not closed; the last: ${this.frames.slice(-5).join(' | ')}`)),
        PATIENCE_MS,
      );
      this.socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

/** What the victim has used since it began. */
export interface Usage {
  readonly cpuMs: number;
  /** Bytes, behind a garbage collection. */
  readonly rss: number;
  readonly heapUsed: number;
  readonly arrayBuffers: number;
  /** Bytes of bodies that wait. */
  readonly waitingBytes: number;
  /** Requests by path, refusals by code. */
  readonly seen: Readonly<Record<string, number>>;
}

/** victim.ts in a process of its own: its CPU and memory are nobody else's. */
export class Victim {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  static async start(t: Test): Promise<Victim> {
    const child = fork(fileURLToPath(new URL('./victim.ts', import.meta.url)), {
      execArgv: ['--expose-gc', '--max-semi-space-size=2'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    t.teardown(() => child.disconnect());
    const [ready] = await once(child, 'message');
    const victim = new Victim(child, ready.port);
    await victim.isWell();
    return victim;
  }

  async usage(): Promise<Usage> {
    this.#child.send('usage');
    const [usage] = await once(this.#child, 'message');
    return usage;
  }

  /** Milliseconds until a new connection gets an answer; rejects where it does not. */
  async isWell(): Promise<number> {
    const begunAt = performance.now();
    const peer = await RawPeer.connect(this.port);
    peer.say(headers(1, request('GET', '/ok'), { end: true }));
    await peer.until('an answer', (frames) => frames.some((line) => line.startsWith('DATA 1 END_STREAM "ok"')));
    peer.close();
    return performance.now() - begunAt;
  }
}
