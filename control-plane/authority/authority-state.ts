import { parseSpiffeId } from '#policy/identity/spiffe-id.ts';
import { MAX_REVOCATIONS } from '#policy/resource/kinds/revocation-list.ts';
import { isRecord } from '#policy/schema/schema.ts';
import type { FormerAuthority } from './authority-material.ts';
import { formerAuthoritiesFromText, formerAuthoritiesToText } from './former-authority-text.ts';
import { currentRevocations, NO_REVOCATIONS, type RevocationEntries, serialText } from './revocations.ts';
import type { Rotation } from './rotation.ts';
import { rotationFromJson, rotationToJson } from './rotation-text.ts';
import { timeOf } from './state-fields.ts';
import type { StoredTexts } from './state-store.ts';

/** What an authority knows beside its files. */
export interface AuthorityState {
  /** Authorities that others took the place of, oldest first. */
  readonly former: readonly FormerAuthority[];
  /** Undefined: the root is not being changed. */
  readonly rotation: Rotation | undefined;
  readonly revocations: RevocationEntries;
  /** No leaf that was signed ends later; undefined: nothing is known of that. */
  readonly leavesEndMs: number | undefined;
}

export const EMPTY_STATE: AuthorityState = {
  former: [],
  rotation: undefined,
  revocations: NO_REVOCATIONS,
  leavesEndMs: undefined,
};

/** Names of the texts that hold it. */
export const FORMER_TEXT = 'former-authorities.json';
export const STATE_TEXT = 'authority-state.json';

/** The texts that say it; those that say nothing are left out. */
export function textsOfState(state: AuthorityState, nowMs: number): StoredTexts['texts'] {
  const { former, rotation, leavesEndMs } = state;
  const { identities, serials } = currentRevocations(state.revocations, nowMs);
  const isPlain = rotation === undefined && leavesEndMs === undefined && identities.length + serials.length === 0;
  const rest = {
    rotation: rotation === undefined ? undefined : rotationToJson(rotation),
    leavesEnd: leavesEndMs === undefined ? undefined : new Date(leavesEndMs).toISOString(),
    revokedIdentities: identities.map(({ id, atMs }) => ({ id, at: new Date(atMs).toISOString() })),
    revokedSerials: serials.map(({ serial, atMs, untilMs }) => ({
      serial,
      at: new Date(atMs).toISOString(),
      until: new Date(untilMs).toISOString(),
    })),
  };
  return {
    ...(former.length === 0 ? {} : { [FORMER_TEXT]: formerAuthoritiesToText(former, nowMs) }),
    ...(isPlain ? {} : { [STATE_TEXT]: JSON.stringify(rest) }),
  };
}

/** What the texts say, without what has ended. Throws with a sentence that names the text where one is not of our making. */
export function stateFromTexts(texts: StoredTexts['texts'], nowMs: number, leafLifetimeMs: number): AuthorityState {
  const rest = named(STATE_TEXT, () => restFromText(texts[STATE_TEXT] ?? '', nowMs));
  const formerText = texts[FORMER_TEXT] ?? '';
  const former = named(FORMER_TEXT, () =>
    formerText === '' ? [] : formerAuthoritiesFromText(formerText, nowMs, leafLifetimeMs, rest.leavesEndMs),
  );
  return { ...rest, former };
}

function restFromText(text: string, nowMs: number): Omit<AuthorityState, 'former'> {
  if (text === '') return EMPTY_STATE;
  const fields: unknown = JSON.parse(text);
  if (!isRecord(fields)) throw new Error('not the state of an authority');
  const identities = listOf(fields.revokedIdentities).map((entry) => {
    const id = textOf(entry.id);
    if (parseSpiffeId(id).kind === 'invalid') throw new Error(`a revoked identity ${JSON.stringify(id)}`);
    return { id, atMs: timeOf(entry.at) };
  });
  const serials = listOf(fields.revokedSerials).map((entry) => {
    const serial = serialText(textOf(entry.serial));
    if (serial === undefined) throw new Error(`a revoked serial number ${JSON.stringify(entry.serial)}`);
    return { serial, atMs: timeOf(entry.at), untilMs: timeOf(entry.until) };
  });
  return {
    rotation: fields.rotation === undefined ? undefined : rotationFromJson(fields.rotation),
    leavesEndMs: fields.leavesEnd === undefined ? undefined : timeOf(fields.leavesEnd),
    revocations: currentRevocations({ identities, serials }, nowMs),
  };
}

function listOf(value: unknown): readonly { readonly [name: string]: unknown }[] {
  if (!Array.isArray(value) || !value.every(isRecord)) throw new Error('no list of revocations');
  if (value.length > MAX_REVOCATIONS) throw new Error(`more than ${MAX_REVOCATIONS} revocations of a sort`);
  return value;
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new Error(`${JSON.stringify(value)} is no text`);
}

function named<T>(text: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${text} cannot be read: ${why}`);
  }
}
