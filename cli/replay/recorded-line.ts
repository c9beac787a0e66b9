import { LRUCache } from 'lru-cache';
import { TOKEN_CODES } from '#policy/error/token-codes.ts';
import { parseSpiffeId, type SpiffeId } from '#policy/identity/spiffe-id.ts';
import { isRecord } from '#policy/schema/schema.ts';

/** What authorization said of a request when it was recorded, and what came of that. */
export interface Outcome {
  /** `audit`: let through, and it would have been refused. */
  readonly decision: 'allow' | 'deny' | 'audit';
  readonly code: string;
  /** NAMESPACE/NAME. */
  readonly policy: string | undefined;
  readonly rule: number | undefined;
}

/** A line of the access log about something that authorization decided. */
export interface RecordedRequest {
  readonly decisionId: string;
  readonly source: SpiffeId | null;
  readonly destination: string;
  readonly port: number;
  readonly sourceIp: string | undefined;
  /** Null: a TCP connection. */
  readonly method: string | null;
  readonly host: string;
  /** With the query. */
  readonly path: string;
  readonly inputs: { readonly [name: string]: unknown };
  /** What providers of CUSTOM policies said: `opa: allowed, grpc 0; …`; empty: none was asked. */
  readonly providers: string;
  /** How it was decided; policy and rule of a permission are undefined where a later stage wrote its own in their place. */
  readonly before: Outcome;
  /** `before` names all there is to name. */
  readonly isRuleKnown: boolean;
  /** In audit mode: enforced, its token would have been refused before any rule was asked. */
  readonly isTokenRefused: boolean;
}

/** Why a line is not decided again. */
export const PASSED_OVER = {
  outbound: "of the caller's side: no policy judges it there",
  before_authorization: 'refused before authorization was asked',
  other_workload: 'of another namespace than --to',
  foreign: 'no line of an access log',
  malformed: 'not JSON',
  cut_off: 'the last line, cut off',
  too_long: 'longer than a line may be',
} as const;

export type PassedOver = keyof typeof PASSED_OVER;

/** Names of stages that only what authorization let through comes to. */
const LATER_STAGES = ['validate', 'connect', 'forward', 'respond', 'join'];
/** Refused in the stage of authorization, but not by it. */
const NOT_BY_RULES: ReadonlySet<unknown> = new Set(['tcp_not_validated']);

/** Reads a line of the access log; `PassedOver`: it is not about a decision of authorization. */
export function readRecordedLine(text: string): RecordedRequest | PassedOver {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    return 'malformed';
  }
  if (!isRecord(line)) return 'foreign';
  const { decisionId, direction, decision, code, port, stages, inputs } = line;
  if (typeof decisionId !== 'string' || typeof code !== 'string' || !isRecord(stages) || !isRecord(inputs)) {
    return 'foreign';
  }
  if (direction === 'outbound') return 'outbound';
  const source = sourceOf(line.source);
  const { method, destination, host, path, sourceIp } = line;
  if (direction !== 'inbound' || source === undefined || typeof port !== 'number' || !isDecision(decision)) {
    return 'foreign';
  }
  if (typeof destination !== 'string' || (method !== null && typeof method !== 'string')) return 'foreign';
  if (method !== null && (typeof path !== 'string' || typeof host !== 'string')) return 'foreign';
  const isOfRules = code.startsWith('authorization_');
  const isPassed = LATER_STAGES.some((stage) => stage in stages) || NOT_BY_RULES.has(code);
  const isDecided = 'authorize' in stages ? isOfRules || isPassed : 'consult' in stages && isOfRules;
  if (!isDecided) return 'before_authorization';
  return {
    ...{ decisionId, source, destination, port, method, inputs },
    host: typeof host === 'string' ? host : '',
    path: typeof path === 'string' ? path : '',
    providers: typeof line.providers === 'string' ? line.providers : '',
    sourceIp: typeof sourceIp === 'string' && sourceIp !== '' ? sourceIp : undefined,
    ...beforeOf(decision, code, line, isOfRules),
    isTokenRefused: decision === 'audit' && Object.hasOwn(TOKEN_CODES, code),
  };
}

function beforeOf(
  decision: Outcome['decision'],
  code: string,
  { policy, rule }: { readonly [field: string]: unknown },
  isOfRules: boolean,
): Pick<RecordedRequest, 'before' | 'isRuleKnown'> {
  const by = {
    policy: typeof policy === 'string' ? policy : undefined,
    rule: typeof rule === 'number' ? rule : undefined,
  };
  if (isOfRules) return { before: { decision, code, ...by }, isRuleKnown: true };
  // What went wrong behind authorization is told in its place.
  if (decision === 'allow') return { before: { decision, code: 'allowed', ...by }, isRuleKnown: true };
  return {
    before: { decision: 'allow', code: 'allowed', policy: undefined, rule: undefined },
    isRuleKnown: false,
  };
}

function isDecision(value: unknown): value is Outcome['decision'] {
  return value === 'allow' || value === 'deny' || value === 'audit';
}

/** Undefined: it is neither an identity nor none. */
function sourceOf(source: unknown): SpiffeId | null | undefined {
  if (source === null) return null;
  if (typeof source !== 'string') return undefined;
  return identityOf(source);
}

/** Identities that are kept: a log names the same ones again and again. */
const MAX_KEPT_IDENTITIES = 10_000;
const kept = new LRUCache<string, ReturnType<typeof parseSpiffeId>>({ max: MAX_KEPT_IDENTITIES });

/** Undefined: the text is no SPIFFE ID. */
export function identityOf(text: string): SpiffeId | undefined {
  const parsed = kept.get(text) ?? parseSpiffeId(text);
  kept.set(text, parsed);
  return parsed.kind === 'valid' ? parsed.id : undefined;
}
