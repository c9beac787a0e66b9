import { parseSpiffeId, spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import type { EventLog } from '../event-log.ts';
import { type AuthorityFacts, authorityFactsOf } from './authority-facts.ts';
import type { AuthorityKeeper, KeptAuthority } from './authority-keeper.ts';
import type { AuthorityState } from './authority-state.ts';
import { controlPlaneIdentity } from './control-plane-certificate.ts';
import { currentRevocations, RevocationsFull, serialText, withIdentity, without, withSerial } from './revocations.ts';
import type { RootRotation } from './root-rotation.ts';
import { beginRotation, cancelled, finished, RotationRefused } from './rotation.ts';
import { StateNotStored } from './state-keeper.ts';

/** Whom a revocation is about: an identity, as SPIFFE ID or NAMESPACE/SERVICE-ACCOUNT of the mesh, or a serial number in hex. */
export type RevocationSubject =
  | { readonly kind: 'identity'; readonly identity: string }
  | { readonly kind: 'serial'; readonly serial: string };

/** What an operator may have done. */
export type AuthorityChange =
  | { readonly kind: 'rotate' }
  | { readonly kind: 'finish'; readonly isForced: boolean }
  | { readonly kind: 'cancel' }
  /** `untilMs`: when the certificate of that serial number ends; undefined: as late as any may. */
  | { readonly kind: 'revoke'; readonly subject: RevocationSubject; readonly untilMs: number | undefined }
  | { readonly kind: 'reinstate'; readonly subject: RevocationSubject };

/** Why a change is not made, in a sentence for the operator. */
export class ChangeRefused extends Error {
  /** `invalid`: it never will be; `not_now`: as things are. */
  readonly kind: 'invalid' | 'not_now';

  constructor(kind: ChangeRefused['kind'], message: string) {
    super(message);
    this.name = 'ChangeRefused';
    this.kind = kind;
  }
}

export interface AuthorityOperationsOptions {
  readonly keeper: Pick<AuthorityKeeper, 'change' | 'files'>;
  readonly kept: () => KeptAuthority;
  readonly rotation: Pick<RootRotation, 'verdict'>;
  readonly mesh: Mesh;
  readonly leafLifetimeMs: number;
  readonly log: EventLog;
  readonly now: () => number;
}

/** What operators see of the authority, and have done by it. */
export class AuthorityOperations {
  readonly #options: AuthorityOperationsOptions;

  constructor(options: AuthorityOperationsOptions) {
    this.#options = options;
  }

  async facts(): Promise<AuthorityFacts> {
    const { kept, rotation, mesh, leafLifetimeMs, now } = this.#options;
    return authorityFactsOf(kept(), await rotation.verdict(), { mesh, leafLifetimeMs, nowMs: now() });
  }

  /** Makes the change, stored for all replicas, or throws `ChangeRefused`. `by`: who asked, for the log. */
  async make(change: AuthorityChange, by: string): Promise<AuthorityFacts> {
    const { keeper, log } = this.#options;
    try {
      const apply = await this.#applied(change);
      await keeper.change(apply);
    } catch (error) {
      const refusal = asRefused(error);
      log('authority_operation_refused', { ...shown(change), by, reason: refusal.message });
      throw refusal;
    }
    log('authority_operation', { ...shown(change), by });
    return this.facts();
  }

  async #applied(
    change: AuthorityChange,
  ): Promise<(state: AuthorityState, material: KeptAuthority['material']) => AuthorityState> {
    const { keeper, mesh, now } = this.#options;
    switch (change.kind) {
      case 'rotate': {
        const files = await keeper.files();
        return (state, material) => beginRotation(state, material, files, mesh, now());
      }
      case 'finish':
        return (state) => finished(state, change.isForced, now());
      case 'cancel':
        return cancelled;
      case 'revoke': {
        const { id, serial } = this.#subject(change.subject);
        const { untilMs } = change;
        if (id !== undefined && untilMs !== undefined) {
          throw new ChangeRefused('invalid', 'an identity is revoked until it is reinstated; leave --until out');
        }
        if (untilMs !== undefined && untilMs <= now()) {
          throw new ChangeRefused(
            'invalid',
            `${new Date(untilMs).toISOString()} has passed: that certificate is good for nothing anyway`,
          );
        }
        return (state) => {
          const present = currentRevocations(state.revocations, now());
          const revocations =
            id === undefined ? withSerial(present, serial ?? '', untilMs, now()) : withIdentity(present, id, now());
          return { ...state, revocations };
        };
      }
      case 'reinstate': {
        const subject = this.#subject(change.subject);
        return (state) => {
          const revocations = without(state.revocations, subject);
          if (revocations !== state.revocations) return { ...state, revocations };
          throw new ChangeRefused('not_now', `${subject.id ?? subject.serial} is not revoked; see \`lateral ca list\``);
        };
      }
    }
  }

  #subject(subject: RevocationSubject): { readonly id?: string; readonly serial?: string } {
    if (subject.kind === 'serial') {
      const serial = serialText(subject.serial);
      if (serial !== undefined) return { serial };
      throw new ChangeRefused(
        'invalid',
        `${JSON.stringify(subject.serial)} is no serial number; give 1 to 40 hex digits`,
      );
    }
    const { mesh } = this.#options;
    const [, namespace, serviceAccount] = /^([^/:]+)\/([^/:]+)$/.exec(subject.identity) ?? [];
    const text =
      namespace === undefined || serviceAccount === undefined
        ? subject.identity
        : spiffeId(mesh.trustDomain, namespace, serviceAccount).uri;
    const parsed = parseSpiffeId(text);
    if (parsed.kind === 'invalid') throw new ChangeRefused('invalid', parsed.reason);
    if (parsed.id.uri === controlPlaneIdentity(mesh).uri) {
      throw new ChangeRefused(
        'invalid',
        'the control plane itself is not revoked: no sidecar would hear of anything again',
      );
    }
    return { id: parsed.id.uri };
  }
}

function asRefused(error: unknown): ChangeRefused {
  if (error instanceof ChangeRefused) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RotationRefused || error instanceof RevocationsFull)
    return new ChangeRefused('not_now', message);
  const stored = error instanceof StateNotStored ? message : `it could not be stored: ${message}`;
  return new ChangeRefused('not_now', `${stored}; nothing was changed`);
}

function shown(change: AuthorityChange): { readonly [name: string]: unknown } {
  const { kind } = change;
  if (kind === 'rotate' || kind === 'cancel') return { change: kind };
  if (kind === 'finish') return { change: kind, isForced: change.isForced };
  const { subject } = change;
  return { change: kind, subject: subject.kind === 'identity' ? subject.identity : subject.serial };
}
