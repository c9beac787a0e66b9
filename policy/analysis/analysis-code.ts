import type { Problem } from '../problem.ts';
import { problemAt, type SourcedResource } from '../resource/sourced-resource.ts';
import type { Path } from '../schema/schema.ts';

/** What is said of whole sets of authorization policies; docs/policy-checks.md explains each. */
export const ANALYSIS_CODES = [
  'contradiction',
  'shadowed_rule',
  'never_matches',
  'split_rule',
  'split_entry',
  'joined_negations',
  'allows_nothing',
  'no_workload',
  'unknown_principal',
  'unknown_service_account',
  'suspicious_host',
  'suspicious_method',
  'http_field_on_tcp_port',
  'denies_tcp',
  'provider_asks_itself',
  'provider_not_for_tcp',
  'provider_on_tcp_port',
  'token_not_required',
  'alike_rules',
  'too_many_denials',
  'too_many_rules',
] as const;

export type AnalysisCode = (typeof ANALYSIS_CODES)[number];

/** A warning about an authorization policy, at a path from its root. */
export function doubt(sourced: SourcedResource, path: Path, code: AnalysisCode, message: string): Problem {
  return problemAt(sourced, path, 'warning', code, message);
}
