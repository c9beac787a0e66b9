import type { Lifecycle } from '../resource/kinds/api-schema.ts';
import type { HeaderField } from '../workload-policy.ts';

/** Where an operation stands: as its document does, or as the operation itself says (`deprecated: true`). */
export function lifecycleOf(document: Lifecycle | undefined, isDeprecated: boolean): Lifecycle['state'] {
  const state = document?.state ?? 'Active';
  return state === 'Active' && isDeprecated ? 'Deprecated' : state;
}

/** What responses say of an operation that is to be left. Sources: RFC 9745 §2 (seconds since the epoch), RFC 8594 §3. */
export function noticesOf(document: Lifecycle | undefined): readonly HeaderField[] {
  if (document?.state !== 'Deprecated') return [];
  const { since, sunset } = document;
  return [
    ...(since === undefined ? [] : [{ name: 'deprecation', value: `@${Date.parse(since) / 1000}` }]),
    ...(sunset === undefined ? [] : [{ name: 'sunset', value: new Date(sunset).toUTCString() }]),
  ];
}
