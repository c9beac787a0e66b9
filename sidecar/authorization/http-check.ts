import { type HttpChecking, matchesHeader } from '#policy/authorization/provider.ts';
import { dashedName } from '#policy/http/dashed-name.ts';
import type { FlatHeaders } from '#policy/http/flat-headers.ts';
import type { RequestHead } from '../http/message.ts';
import type { WholeAnswer } from './answer-collector.ts';
import { type CheckedHttp, PARTIAL_BODY } from './checked-request.ts';
import { checkHeader, type HeaderChange, MAX_CHANGED_HEADERS, mayChange } from './header-changes.ts';
import { MalformedAnswer, type Verdict } from './verdict.ts';

/** The request as a provider is told of it over HTTP: its method, host and path, chosen headers. */
export function httpCheck(checking: HttpChecking, http: CheckedHttp): { head: RequestHead; body: Buffer | null } {
  const { method, body } = http;
  const own = new Set([PARTIAL_BODY, ...checking.added.map(([name]) => dashedName(name))]);
  const isTold = (name: string) => matchesHeader(checking.told, name) && mayBeTold(name) && !own.has(dashedName(name));
  const headers = ['host', http.host, ...chosen(http.headers, isTold), ...checking.added.flat()];
  headers.push('traceparent', http.traceparent, 'content-length', String(body?.bytes.length ?? 0));
  if (body !== undefined) headers.push(PARTIAL_BODY, String(body.isPart));
  const target = checking.pathPrefix + http.target;
  const bytes = body === undefined || body.bytes.length === 0 ? null : body.bytes;
  return { head: { method, target, headers, version: '1.1' }, body: bytes };
}

/** The certificate of the caller is told as this hop proved it; the rest of what this hop says is said above. */
function mayBeTold(lowerName: string): boolean {
  return lowerName === 'x-forwarded-client-cert' || mayChange(lowerName);
}

/** What the answer says: 200 allows, 5xx is no answer, anything else denies. Throws MalformedAnswer. */
export function httpVerdict(checking: HttpChecking, { status, headers, body }: WholeAnswer): Verdict {
  const shown = `HTTP ${status}`;
  if (status >= 500) return { kind: 'failed', reason: `answered ${shown}` };
  const { toUpstream, toCallerOnAllow, toCallerOnDeny } = checking;
  if (status === 200) {
    const set = changesFrom(headers, (name) => matchesHeader(toUpstream, name));
    const toCaller = changesFrom(headers, (name) => matchesHeader(toCallerOnAllow, name));
    return { kind: 'allowed', status: shown, changes: { headers: set, removed: [], query: undefined, toCaller } };
  }
  if (status < 200) throw new MalformedAnswer(`status ${status} is none of a response`);
  const isTold = (name: string) =>
    mayChange(name) && (toCallerOnDeny === undefined || matchesHeader(toCallerOnDeny, name));
  return { kind: 'denied', status: shown, answer: { status, headers: chosen(headers, isTold), body } };
}

function chosen(headers: FlatHeaders, isChosen: (lowerName: string) => boolean): string[] {
  return headers.filter((_, index) => isChosen(headers[index - (index % 2)]?.toLowerCase() ?? ''));
}

/** Several of one name, as Set-Cookie is, stay several: the first takes the place of what was there. */
function changesFrom(headers: FlatHeaders, isChosen: (lowerName: string) => boolean): readonly HeaderChange[] {
  const picked = chosen(headers, isChosen);
  if (picked.length / 2 > MAX_CHANGED_HEADERS) {
    throw new MalformedAnswer(`more than maxChangedHeaders ${MAX_CHANGED_HEADERS} headers`);
  }
  const seen = new Set<string>();
  const changes: HeaderChange[] = [];
  for (let index = 0; index < picked.length; index += 2) {
    const name = picked[index] ?? '';
    const value = picked[index + 1] ?? '';
    checkHeader(name, value);
    const lower = name.toLowerCase();
    changes.push({ name, value, how: seen.has(lower) ? 'append' : 'set' });
    seen.add(lower);
  }
  return changes;
}
