import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { TestAuthority, type TestLeaf } from '../certificates.ts';
import { type EnvoyGround, type RbacListener, rbacListener } from './envoy-listener.ts';

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 100;
const STOP_TIMEOUT_MS = 5_000;

/** Identities and tokens that all listeners of a test believe. */
export class EnvoyPeers {
  readonly ground: EnvoyGround;
  readonly #authority = new TestAuthority();
  readonly #leaves = new Map<string, TestLeaf>();
  readonly #key: KeyObject;

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    const keySet = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), alg: 'ES256', kid: 'test' }] });
    const leaf = this.#authority.leaf('spiffe://cluster.local/ns/a/sa/orders');
    this.ground = { authority: this.#authority, leaf, keySet };
  }

  /** `principal` without the scheme. */
  leaf(principal: string): TestLeaf {
    const known = this.#leaves.get(principal) ?? this.#authority.leaf(`spiffe://${principal}`);
    this.#leaves.set(principal, known);
    return known;
  }

  token(claims: object): string {
    const head = [{ alg: 'ES256', kid: 'test' }, claims].map((part) =>
      Buffer.from(JSON.stringify(part)).toString('base64url'),
    );
    const text = head.join('.');
    const signature = sign('sha256', Buffer.from(text), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }
}

/** An Envoy with these listeners, until `stop`; rejects with its words where it does not come up. */
export async function startEnvoy(
  t: Test,
  listeners: readonly RbacListener[],
  ground: EnvoyGround,
): Promise<{ readonly stop: () => Promise<void> }> {
  const path = join(t.testdir(), 'envoy.json');
  const all = listeners.map((listener) => rbacListener(listener, ground));
  await writeFile(path, JSON.stringify({ static_resources: { listeners: all } }));
  const child = spawn('envoy', ['-c', path, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error']);
  let words = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      words += text;
    });
  }
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const stop = () => stopped(child, ended);
  t.teardown(stop);
  await Promise.race([
    listensAt(listeners.at(-1)?.port ?? 0),
    ended.then(() => {
      throw new Error(`envoy ended: ${words}`);
    }),
  ]);
  return { stop };
}

async function stopped(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

async function listensAt(port: number): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (isOpen) return;
    await sleep(POLL_MS);
  }
  throw new Error(`nothing listens on port ${port} after ${START_TIMEOUT_MS} ms`);
}
