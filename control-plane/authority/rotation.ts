import { createHash } from 'node:crypto';
import type { Mesh } from '#policy/workload-policy.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import type { AuthorityMaterial, FormerAuthority } from './authority-material.ts';
import type { AuthorityState } from './authority-state.ts';
import { makeRoot, type StoredAuthority } from './authority-store.ts';
import { CLOCK_DIFFERENCE_MS, isSameIssuing, keptWithin } from './former-authority.ts';

/** The files of an authority of our own making. */
export type MadeAuthority = { readonly [file in keyof StoredAuthority]: string };

/**
 * A change of the root under way. `trusting`: the next one is trusted, and signs nothing yet. `promoting`: its files are being put in the
 * place of the present ones. `signing`: it signs, and the one before is trusted until `retiresMs`.
 */
export type Rotation =
  | {
      readonly stage: 'trusting';
      readonly startedMs: number;
      /** Of the root in whose place the next one comes. */
      readonly from: string;
      readonly next: MadeAuthority;
      /** An operator waits for nobody. */
      readonly isForced: boolean;
    }
  | {
      readonly stage: 'promoting';
      readonly startedMs: number;
      readonly promotedMs: number;
      readonly retiresMs: number;
      readonly from: string;
      readonly next: MadeAuthority;
    }
  | {
      readonly stage: 'signing';
      readonly startedMs: number;
      readonly promotedMs: number;
      readonly retiresMs: number;
      readonly from: string;
    };

/** Why something cannot be done now, in a sentence for the operator. */
export class RotationRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'RotationRefused';
  }
}

/** SHA-256 of a certificate, in lower-case hex. */
export function fingerprint(der: Buffer): string {
  return createHash('sha256').update(der).digest('hex');
}

/** Of the roots of an authority all together. */
export function fingerprintOfRoots(roots: readonly Buffer[]): string {
  return fingerprint(Buffer.concat(roots));
}

/** The roots that are trusted before they sign anything; DER. */
export function nextRoots(rotation: Rotation | undefined): readonly Buffer[] {
  if (rotation === undefined || rotation.stage === 'signing') return [];
  return certificatesFromPem(rotation.next.root);
}

/** Begins a change of the root: a new one is trusted from now on. */
export function beginRotation(
  state: AuthorityState,
  material: AuthorityMaterial,
  found: StoredAuthority,
  mesh: Mesh,
  nowMs: number,
): AuthorityState {
  if (state.rotation !== undefined) throw new RotationRefused(underWay(state.rotation));
  if (found.rootKey === undefined) {
    throw new RotationRefused(
      'the root is not of our making (there is no root-key.pem): put the new root beside the old one in root-cert.pem, wait until `lateral proxies` shows no sidecar as pending, then put the new issuer in ca-cert.pem, ca-key.pem and cert-chain.pem, and take the old root out once the last certificate under it has ended',
    );
  }
  const isStillSigning = state.former.some(
    ({ privateKey, signsUntilMs }) => privateKey !== undefined && nowMs < signsUntilMs,
  );
  if (isStillSigning) {
    throw new RotationRefused(
      'a change of the root by its files is under way, and a former authority still signs; wait until it does no more, or end it by `lateral ca finish --force`',
    );
  }
  const next = makeRoot(mesh, nowMs);
  const from = fingerprintOfRoots(material.roots);
  return { ...state, rotation: { stage: 'trusting', startedMs: nowMs, from, next, isForced: false } };
}

/**
 * Everybody trusts the next root: it is put in the place of the present one, which is trusted until the last leaf that it signed has
 * ended. What is stored so says all that is left to do, whoever does it.
 */
export function promoted(
  state: AuthorityState,
  material: AuthorityMaterial,
  nowMs: number,
  leafLifetimeMs: number,
): AuthorityState {
  const { rotation } = state;
  if (rotation?.stage !== 'trusting') return state;
  const { startedMs, from, next } = rotation;
  const retiresMs = (state.leavesEndMs ?? nowMs + leafLifetimeMs) + CLOCK_DIFFERENCE_MS;
  const { issuer, intermediates, roots } = material;
  const { privateKey: _, ...certified } = issuer;
  const entry: FormerAuthority = {
    issuer: certified,
    privateKey: undefined,
    intermediates,
    roots,
    signsUntilMs: nowMs,
    trustedUntilMs: retiresMs,
  };
  const others = state.former.filter((one) => !isSameIssuing(one, entry));
  return {
    ...state,
    former: keptWithin([...others, entry], nowMs),
    rotation: { stage: 'promoting', startedMs, promotedMs: nowMs, retiresMs, from, next },
  };
}

/** The files are those of the next authority. */
export function settled(state: AuthorityState): AuthorityState {
  if (state.rotation?.stage !== 'promoting') return state;
  const { startedMs, promotedMs, retiresMs, from } = state.rotation;
  return { ...state, rotation: { stage: 'signing', startedMs, promotedMs, retiresMs, from } };
}

/** The root before is trusted no longer, where its time has come. */
export function retired(state: AuthorityState, nowMs: number): AuthorityState {
  if (state.rotation?.stage !== 'signing' || nowMs < state.rotation.retiresMs) return state;
  return { ...state, rotation: undefined, former: state.former.filter(({ trustedUntilMs }) => nowMs < trustedUntilMs) };
}

/** A change that was begun from a root which is in force no longer. */
export function isOvertaken({ rotation }: AuthorityState, { roots }: AuthorityMaterial): boolean {
  return rotation?.stage === 'trusting' && rotation.from !== fingerprintOfRoots(roots);
}

/** What an operator asks to be over: of `trusting` only by force, which promotes; of `signing` once its time has come, or by force. */
export function finished(state: AuthorityState, isForced: boolean, nowMs: number): AuthorityState {
  const { rotation, former } = state;
  if (isForced && rotation?.stage === 'trusting') return { ...state, rotation: { ...rotation, isForced: true } };
  if (isForced && rotation?.stage !== 'promoting') {
    if (rotation === undefined && former.length === 0) throw new RotationRefused('no change of the root is under way');
    return { ...state, rotation: undefined, former: [] };
  }
  if (rotation === undefined && former.length === 0) throw new RotationRefused('no change of the root is under way');
  const untilMs = Math.max(...former.map(({ trustedUntilMs }) => trustedUntilMs), rotationEnd(rotation));
  if (rotation?.stage === 'signing' || rotation === undefined) {
    if (nowMs >= untilMs) return retired(state, nowMs);
    throw new RotationRefused(
      `certificates under the old root are good until ${new Date(untilMs).toISOString()}; it is retired then by itself, or at once by --force, which cuts off whoever holds one`,
    );
  }
  throw new RotationRefused(
    `${underWay(rotation)}; it goes on by itself once all sidecars trust the new root, or at once by --force, which cuts off those that do not`,
  );
}

/** A change that has come no further than to be trusted is as if it had not been begun. */
export function cancelled(state: AuthorityState): AuthorityState {
  const { rotation } = state;
  if (rotation === undefined) throw new RotationRefused('no change of the root is under way');
  if (rotation.stage === 'trusting') return { ...state, rotation: undefined };
  throw new RotationRefused(
    `${underWay(rotation)}: certificates are signed under the new root, so that it is not taken back; begin another once it is over`,
  );
}

function rotationEnd(rotation: Rotation | undefined): number {
  return rotation?.stage === 'signing' ? rotation.retiresMs : 0;
}

function underWay({ stage, startedMs }: Rotation): string {
  return `a change of the root is under way since ${new Date(startedMs).toISOString()}, and in stage ${stage}`;
}
