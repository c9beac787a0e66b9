import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Authority, createAuthority } from '#control-plane/authority/authority.ts';
import { AuthorityKeeper } from '#control-plane/authority/authority-keeper.ts';
import { AuthorityOperations } from '#control-plane/authority/authority-operations.ts';
import { directoryBackend } from '#control-plane/authority/directory-backend.ts';
import { RootRotation } from '#control-plane/authority/root-rotation.ts';
import type { AuthorityBackend } from '#control-plane/authority/state-store.ts';
import { RECONNECT_MS } from '#control-plane/authority/trust-judgement.ts';
import type { SidecarTrust } from '#control-plane/authority/trust-survey.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { type Event, MESH } from '../control-plane-fixture.ts';

export const LIFE_MS = 24 * 3_600_000;
export const WEB = spiffeId('cluster.local', 'shop', 'web');

/** One authority in a directory, with a clock in hand and sidecars that say what the test wants. */
export class RotationFixture {
  readonly directory: string;
  readonly events: Event[] = [];
  nowMs = Date.now();
  sidecars: SidecarTrust[] = [];
  gone = new Set<string>();
  silent: string[] = [];
  noticeMs = 0;
  readonly #ending = new AbortController();
  #sinceMs = this.nowMs - RECONNECT_MS;
  #running:
    | { keeper: AuthorityKeeper; authority: Authority; rotation: RootRotation; operations: AuthorityOperations }
    | undefined;

  constructor(t: Test) {
    this.directory = join(t.testdir(), 'ca');
    t.teardown(() => this.#ending.abort());
  }

  get running() {
    if (this.#running === undefined) throw new Error('not started');
    return this.#running;
  }

  /** Starts, or starts anew as another process would; `wrap` stands between it and its files. */
  async start(wrap: (backend: AuthorityBackend) => AuthorityBackend = (backend) => backend): Promise<void> {
    const { signal } = this.#ending;
    const log = (event: string, fields = {}) => void this.events.push({ event, fields });
    const now = () => this.nowMs;
    const backend = wrap(directoryBackend(this.directory));
    const common = { mesh: MESH, leafLifetimeMs: LIFE_MS, log, now };
    const keeper = new AuthorityKeeper({ ...common, backend, isLeader: () => true, signal });
    let kept = await keeper.open();
    const authority = createAuthority(kept.material, common);
    keeper.keep((changed) => {
      kept = changed;
      authority.replace(changed.material);
      authority.revocations.set(changed.state.revocations);
    });
    authority.revocations.set(kept.state.revocations);
    const rotation = new RootRotation({
      ...common,
      keeper,
      kept: () => kept,
      survey: { answer: () => ({ sidecars: this.sidecars, sinceMs: this.#sinceMs, forgotten: 0 }) },
      otherReplicas: async () => this.silent.map((replica) => ({ replica, answer: undefined })),
      isGone: (name) => this.gone.has(name),
      isLeader: () => true,
      noticeMs: this.noticeMs,
    });
    const operations = new AuthorityOperations({ ...common, keeper, kept: () => kept, rotation });
    this.#running?.keeper.close();
    this.#running = { keeper, authority, rotation, operations };
  }

  /** Ends without another word. */
  crash(): void {
    this.#running?.keeper.close();
    this.#running = undefined;
  }

  /** As one that has just started. */
  restartedNow(): void {
    this.#sinceMs = this.nowMs;
  }

  named(name: string): readonly Event[] {
    return this.events.filter(({ event }) => event === name);
  }

  /** A leaf of now, and whether openssl accepts it by these roots. */
  leaf() {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { chain } = this.running.authority.issue(WEB, publicKey.export({ type: 'spki', format: 'der' }));
    return chain;
  }

  verifies(chain: readonly Buffer[], roots: readonly Buffer[]): boolean {
    const directory = join(this.directory, '..', 'verify');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'roots.pem'), certificatesToPem(roots));
    writeFileSync(join(directory, 'leaf.pem'), certificatesToPem(chain.slice(0, 1)));
    writeFileSync(join(directory, 'above.pem'), certificatesToPem(chain.slice(1)));
    const at = ['-attime', String(Math.floor(this.nowMs / 1_000))];
    const files = ['-CAfile', 'roots.pem', '-untrusted', 'above.pem', 'leaf.pem'];
    try {
      execFileSync('openssl', ['verify', '-x509_strict', ...at, ...files], { cwd: directory, stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  }
}

export function sidecar(name: string, fields: Partial<SidecarTrust> = {}): SidecarTrust {
  return { name: `shop/${name}`, identity: `id-${name}`, trusts: false, isConnected: true, untilMs: 0, ...fields };
}
