import { status } from '@grpc/grpc-js';
import { isRecord } from '#policy/schema/schema.ts';
import type { ChangeAuthorityRequest, Revocation } from '#proto/gen/lateral/v1/operations.ts';
import type { AuthorityFacts } from '../authority/authority-facts.ts';
import { type AuthorityChange, ChangeRefused, type RevocationSubject } from '../authority/authority-operations.ts';
import { CallRefusal } from '../grpc/refuse-call.ts';

export function authorityResponse(facts: AuthorityFacts): { readonly facts: string } {
  return { facts: JSON.stringify(facts) };
}

/** The change that a call asks for; throws CallRefusal where it names none. */
export function changeOfCall({ change }: ChangeAuthorityRequest): AuthorityChange {
  switch (change?.$case) {
    case 'rotate':
      return { kind: 'rotate' };
    case 'finish':
      return { kind: 'finish', isForced: change.value.force };
    case 'cancel':
      return { kind: 'cancel' };
    case 'revoke': {
      const { untilMs } = change.value;
      return { kind: 'revoke', subject: subjectOf(change.value), untilMs: untilMs === 0 ? undefined : untilMs };
    }
    case 'reinstate':
      return { kind: 'reinstate', subject: subjectOf(change.value) };
    case undefined:
      throw new CallRefusal(status.INVALID_ARGUMENT, 'no change is named');
  }
}

function subjectOf({ subject }: Revocation): RevocationSubject {
  if (subject?.$case === 'identity') return { kind: 'identity', identity: subject.value };
  if (subject?.$case === 'serial') return { kind: 'serial', serial: subject.value };
  throw new CallRefusal(status.INVALID_ARGUMENT, 'neither an identity nor a serial number is named');
}

export function callRefusalOf(error: unknown): unknown {
  if (!(error instanceof ChangeRefused)) return error;
  const code = error.kind === 'invalid' ? status.INVALID_ARGUMENT : status.FAILED_PRECONDITION;
  return new CallRefusal(code, error.message);
}

/** The change that the body of a POST to /authority asks for: `{"rotate":{}}`, `{"finish":{"force":true}}`, `{"revoke":{"identity":…}}`. */
export function changeOfJson(body: unknown): AuthorityChange {
  const fields = isRecord(body) ? body : {};
  const [kind = '', ...more] = Object.keys(fields);
  const value = isRecord(fields[kind]) ? fields[kind] : {};
  if (more.length === 0 && (kind === 'rotate' || kind === 'cancel')) return { kind };
  if (more.length === 0 && kind === 'finish') return { kind, isForced: value.force === true };
  if (more.length === 0 && (kind === 'revoke' || kind === 'reinstate')) {
    const subject = jsonSubjectOf(value);
    if (kind === 'reinstate') return { kind, subject };
    const { untilMs } = value;
    if (untilMs === undefined || typeof untilMs === 'number') return { kind, subject, untilMs };
  }
  throw new ChangeRefused('invalid', 'expected one of rotate, finish, cancel, revoke, reinstate');
}

function jsonSubjectOf({ identity, serial }: { readonly [name: string]: unknown }): RevocationSubject {
  if (typeof identity === 'string' && serial === undefined) return { kind: 'identity', identity };
  if (typeof serial === 'string' && identity === undefined) return { kind: 'serial', serial };
  throw new ChangeRefused('invalid', 'expected either an identity or a serial number');
}
