import type { Problem } from '../problem.ts';
import type { Resource } from '../resource/kind.ts';
import { isForSidecars } from '../resource/kinds/attachment.ts';
import type { AuthorizationPolicySpec } from '../resource/kinds/authorization-policy.ts';
import type { SourcedResource } from '../resource/sourced-resource.ts';
import type { Path } from '../schema/schema.ts';
import { type AnalysisCode, doubt } from './analysis-code.ts';

interface ValueDoubt {
  readonly code: AnalysisCode;
  /** What is wrong with a value, and what to write instead. */
  readonly complaint: (value: string) => string | undefined;
}

const HOST: ValueDoubt = { code: 'suspicious_host', complaint: hostComplaint };
const METHOD: ValueDoubt = { code: 'suspicious_method', complaint: methodComplaint };

/** Values that no request has: those of `hosts`, and of the keys of `when` that stand for host and method. */
const DOUBTS: { readonly [fieldOrKey: string]: ValueDoubt } = {
  hosts: HOST,
  notHosts: HOST,
  'request.headers[host]': HOST,
  'request.headers[:authority]': HOST,
  'request.headers[:method]': METHOD,
};

export function valueDoubts(sourced: SourcedResource, policy: Resource<AuthorizationPolicySpec>): readonly Problem[] {
  if (!isForSidecars(policy)) return [];
  const { spec } = policy;
  const problems: Problem[] = [];
  const judge = (name: string, values: readonly string[] | undefined, path: Path) => {
    const given = DOUBTS[name];
    if (given === undefined) return;
    for (const [index, value] of (values ?? []).entries()) {
      const message = given.complaint(value);
      if (message !== undefined) problems.push(doubt(sourced, [...path, index], given.code, message));
    }
  };
  for (const [index, { to, when }] of (spec.rules ?? []).entries()) {
    const root = ['spec', 'rules', index];
    for (const [position, { operation }] of (to ?? []).entries()) {
      for (const field of ['hosts', 'notHosts'] as const) {
        judge(field, operation[field], [...root, 'to', position, 'operation', field]);
      }
    }
    for (const [position, condition] of (when ?? []).entries()) {
      for (const field of ['values', 'notValues'] as const) {
        judge(condition.key.toLowerCase(), condition[field], [...root, 'when', position, field]);
      }
    }
  }
  return problems;
}

function hostComplaint(value: string): string | undefined {
  const bare = value.replace(/^[a-z][a-z0-9+.-]*:\/\//i, '');
  const [host = '', ...path] = bare.split('/');
  if (bare !== value) return `no host is ${value}: hosts have no scheme; did you mean ${host}?`;
  return path.length === 0
    ? undefined
    : `no host is ${value}: a host has no path; did you mean ${host}, with paths: [/${path.join('/')}]?`;
}

function methodComplaint(value: string): string | undefined {
  const upper = value.toUpperCase();
  return value === upper ? undefined : `methods are compared with regard to case; did you mean ${upper}?`;
}
