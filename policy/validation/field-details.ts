import type { SpiffeId } from '../identity/spiffe-id.ts';
import type { ApiValidationPolicySpec } from '../resource/kinds/api-validation-policy.ts';

/** Whether a caller is told what is wrong with its request, field by field. */
export type TellsDetailsTo = (source: SpiffeId | null | undefined) => boolean;

/** Only callers with a proven identity are, and of these whom the policy names. */
export function fieldDetailsTo({ principals, namespaces }: ApiValidationPolicySpec['fieldDetails']): TellsDetailsTo {
  const isPrincipal = principals.map(matcherOf);
  const isNamespace = namespaces.map(matcherOf);
  return (source) =>
    source !== null &&
    source !== undefined &&
    (isPrincipal.some((matches) => matches(source.principal)) ||
      isNamespace.some((matches) => matches(source.namespace)));
}

/** As in Istio: exact, `prefix*`, `*suffix`, `*`. */
function matcherOf(pattern: string): (value: string) => boolean {
  if (pattern.endsWith('*')) return (value) => value.startsWith(pattern.slice(0, -1));
  if (pattern.startsWith('*')) return (value) => value.endsWith(pattern.slice(1));
  return (value) => value === pattern;
}
