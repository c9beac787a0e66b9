import { LRUCache } from 'lru-cache';
import { compileWorkloadPolicy } from '#policy/compile-workload-policy.ts';
import { ALLOWED } from '#policy/error/codes.ts';
import { Refusal, type RefusalDetail } from '#policy/error/refusal.ts';
import { type FlatHeaders, headerValue, withoutSpace } from '#policy/http/flat-headers.ts';
import { isToken } from '#policy/http/is-token.ts';
import { parseSpiffeId } from '#policy/identity/spiffe-id.ts';
import type { LoadedResources } from '#policy/load-resources.ts';
import { wireText } from '#policy/path/wire-text.ts';
import type { AnyResource } from '#policy/resource/read-resource.ts';
import { indexResources } from '#policy/snapshot/select-snapshot.ts';
import { FormStream } from '#policy/validation/decode/form-stream.ts';
import { notCoded, type Undone, undoCoding } from '#policy/validation/decode/undo-coding.ts';
import { generateValidators } from '#policy/validation/generate-validators.ts';
import { COMPRESSED, endFault, PREFIX_BYTES, prefixFault } from '#policy/validation/protobuf/message-frames.ts';
import type {
  BodyPlan,
  Finding,
  FormPlan,
  Mesh,
  MessagePlan,
  PathNormalization,
  RequestValidation,
  ResponseValidation,
  WorkloadPolicy,
} from '#policy/workload-policy.ts';
import { type AcceptedHead, readHead } from '#sidecar/exchange/accept.ts';
import type { RequestHead } from '#sidecar/http/message.ts';
import type { OfflineRequest, OfflineResponse } from './offline-request.ts';

/** A verdict as it is printed. */
export interface OfflineVerdict {
  readonly verdict: 'pass' | 'refuse' | 'audit';
  readonly code: string;
  readonly details: readonly RefusalDetail[];
  readonly reason: string;
}

/** Compiled policies kept, one a distinct set of resources. */
const MAX_POLICIES = 100;

/** Holds requests to any workload against its API descriptions, by the code that the sidecar runs. */
export function createOfflineValidator(
  { resources, sourced }: LoadedResources,
  mesh: Mesh,
  warn: (problem: string) => void,
) {
  const index = indexResources(resources, mesh);
  const labels = endpointLabels(sourced.map(({ any }) => any));
  const compiled = new LRUCache<string, WorkloadPolicy>({ max: MAX_POLICIES });

  async function policyOf(to: OfflineRequest['to']): Promise<WorkloadPolicy> {
    const workload = {
      name: to.name,
      namespace: to.namespace,
      serviceAccount: to.serviceAccount ?? to.name,
      labels: to.labels ?? labels.get(`${to.namespace}/${to.name}`) ?? {},
    };
    const snapshot = index.select(workload);
    const key = JSON.stringify([to.namespace, to.name, to.serviceAccount, workload.labels]);
    const known = compiled.get(key);
    if (known !== undefined) return known;
    const policy = await compileWorkloadPolicy(snapshot, workload, mesh, generateValidators);
    for (const problem of policy.problems) warn(problem);
    compiled.set(key, policy);
    return policy;
  }

  return {
    async judge(request: OfflineRequest): Promise<OfflineVerdict> {
      const body = bodyOf(request);
      if (typeof body === 'string') return verdictOf('invalid_request', body);
      const told = request.response === undefined ? EMPTY : bodyOf(request.response);
      if (typeof told === 'string') return verdictOf('invalid_request', `response.${told}`);
      if (request.from !== undefined) {
        const source = parseSpiffeId(request.from);
        if (source.kind === 'invalid') return verdictOf('invalid_spiffe_id', source.reason);
      }
      const policy = await policyOf(request.to);
      return await judge(request, body, told, policy);
    },
  };
}

const EMPTY = Buffer.alloc(0);
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const NOT_IN_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;

async function judge(
  request: OfflineRequest,
  body: Buffer,
  told: Buffer,
  { validation, defaults }: WorkloadPolicy,
): Promise<OfflineVerdict> {
  if (request.protocol === 'tcp') return judgeTcp(validation, defaults);
  const method = request.method ?? (request.protocol === 'grpc' ? 'POST' : 'GET');
  const headers = headersOf(request);
  const target = wireText(request.path ?? '/');
  const head = headOf({ method, target, headers, version: '1.1' }, request.to.name, defaults.pathNormalization);
  if (head instanceof Refusal) return verdictOf(head.code, head.reason);
  if (validation === undefined) return passed('no APIValidationPolicy binds the workload');
  const { findings, responses } = await judgeRequest(validation, {
    ...{ method, path: head.path, query: head.query, headers: head.headers },
    ...{ ...framingOf(headers, body), body },
  });
  const isRefused = ({ effect }: Finding) => effect === 'refuse' && defaults.mode === 'Enforce';
  // A request that is refused has no response.
  const { response } = request;
  const isAnswered = response !== undefined && !findings.some(isRefused);
  const all = isAnswered
    ? [...findings, ...(await judgeResponse(responses, response, told, method === 'HEAD'))]
    : findings;
  const refused = all.find(isRefused);
  const finding = refused ?? all[0];
  if (finding === undefined) return passed(`the request ${isAnswered ? 'and its response are' : 'is'} as described`);
  const { code, reason, facts } = finding;
  return {
    verdict: refused === undefined ? 'audit' : 'refuse',
    code,
    details: (facts.details ?? []).map(toldDetail),
    reason,
  };
}

/** As the sidecar reads it; a request that says no Host is one for the workload's name, or for whom its target names. */
function headOf(head: RequestHead, name: string, normalization: PathNormalization): AcceptedHead | Refusal {
  const host = /^http:\/\/([^/?#]*)/i.exec(head.target)?.[1] ?? name;
  const fault = fieldFault(head.headers);
  if (fault !== undefined) return new Refusal('malformed_request', fault);
  const isSaid = headerValue(head.headers, 'host') !== undefined;
  try {
    return readHead(isSaid ? head : { ...head, headers: ['host', host, ...head.headers] }, normalization);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** What the parser of the sidecar would not take for a header block (RFC 9110 §5.5). */
function fieldFault(headers: FlatHeaders): string | undefined {
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    if (!isToken(name)) return `${JSON.stringify(name)} is not the name of a header field`;
    if (NOT_IN_VALUE.test(headers[index + 1] ?? '')) return `the value of ${name} has a control character`;
  }
  return undefined;
}

interface Framing {
  readonly hasBody: boolean;
  readonly contentLength: number | undefined;
}

/** Chunks say that there is a body, which may turn out to be empty, and not how long it is. */
function framingOf(headers: FlatHeaders, body: Buffer): Framing {
  const isChunked = headerValue(headers, 'transfer-encoding') !== undefined;
  const hasBody = isChunked || body.length > 0;
  return { hasBody, contentLength: hasBody && !isChunked ? body.length : undefined };
}

function toldDetail({ in: place, pointer, keyword, message }: RefusalDetail): RefusalDetail {
  return { in: place, pointer, keyword, message };
}

/** As authorize-tcp.ts of the sidecar: what is to be validated and cannot be is refused. */
function judgeTcp(validation: RequestValidation | undefined, { mode }: WorkloadPolicy['defaults']): OfflineVerdict {
  if (validation === undefined) return passed('no APIValidationPolicy binds the workload');
  const verdict = validation.isEnforced && mode === 'Enforce' ? 'refuse' : 'audit';
  const reason = `the connection is not HTTP, and APIValidationPolicy ${validation.policy} binds the workload`;
  return { verdict, code: 'tcp_not_validated', details: [], reason };
}

interface WholeRequest extends Framing {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: FlatHeaders;
  readonly body: Buffer;
}

interface JudgedRequest {
  readonly findings: readonly Finding[];
  readonly responses: ResponseValidation | undefined;
}

async function judgeRequest(validation: RequestValidation, { body, ...parts }: WholeRequest): Promise<JudgedRequest> {
  const head = validation.judgeHead(parts);
  const found = await (head.messages === undefined
    ? judgeBody(head.body, body)
    : judgeMessages(head.messages, body, false));
  const { length } = head;
  const isTooLong = length !== undefined && body.length > length.maxBytes;
  const long = isTooLong ? [length.tooLarge(body.length)] : [];
  return { findings: [...head.findings, ...found, ...long], responses: head.responses };
}

async function judgeResponse(
  responses: ResponseValidation | undefined,
  response: OfflineResponse,
  body: Buffer,
  isHead: boolean,
): Promise<readonly Finding[]> {
  const headers = headersOf(response);
  const head = responses?.judgeHead({ status: response.status, headers, isHead, ...framingOf(headers, body) });
  if (head === undefined) return [];
  const { messages } = head;
  const found = await (messages === undefined ? judgeBody(head.body, body) : judgeMessages(messages, body, true));
  return [...head.findings, ...found];
}

/** Messages with their prefixes, as they are on the wire. */
async function judgeMessages(plan: MessagePlan, body: Buffer, isAnswer: boolean): Promise<readonly Finding[]> {
  const reported: Finding[] = [];
  let at = 0;
  let count = 0;
  while (body.length - at >= PREFIX_BYTES) {
    count += 1;
    const flag = body[at] as number;
    const length = body.readUInt32BE(at + 1);
    const fault = prefixFault(flag, count, plan);
    if (fault !== undefined) return [...reported, ...plan.plain.found(fault)];
    if (length > plan.plain.maxBytes) return [...reported, plan.plain.tooLarge(length)];
    const end = at + PREFIX_BYTES + length;
    if (end > body.length) break;
    const judging = flag === COMPRESSED ? plan.coded : plan.plain;
    const found = await judgeBody(judging, body.subarray(at + PREFIX_BYTES, end));
    reported.push(...found);
    // what is only reported is no reason to look no further where the next one may be refused
    if (found.length > 0 && (!plan.plain.isEnforced || found.some(({ effect }) => effect === 'refuse')))
      return reported;
    at = end;
  }
  return [...reported, ...plan.plain.found(endFault(body.length - at, count, isAnswer, plan))];
}

async function judgeBody(plan: BodyPlan | undefined, body: Buffer): Promise<readonly Finding[]> {
  if (plan === undefined) return [];
  if (plan.coding !== undefined && body.length > 0 && body.length <= plan.maxBytes) {
    const undone = await undoCoding(body, plan.coding, plan.maxBytes);
    if (undone.kind === 'longer') return [plan.tooLarge(plan.maxBytes + 1)];
    return undone.kind === 'whole' ? plan.judge(undone.bytes) : plan.found(notCoded(reasonOf(undone)));
  }
  const form = plan.form === undefined ? body : formIn(body, plan.form);
  if (!Buffer.isBuffer(form)) return form;
  return form.length > plan.maxBytes ? [plan.tooLarge(form.length)] : plan.judge(form);
}

/** A form without what its files hold, which streams; or what is wrong with it. */
function formIn(body: Buffer, plan: FormPlan): Buffer | readonly Finding[] {
  const stream = new FormStream(plan.boundary, plan.isFile);
  stream.take(body);
  const fault = stream.finish();
  if (fault !== undefined) return plan.malformed(fault);
  return stream.fileBytes > plan.maxFileBytes ? [plan.tooLarge(stream.fileBytes)] : Buffer.concat(stream.form.blocks());
}

function reasonOf(undone: Undone): string {
  return undone.kind === 'malformed' ? undone.reason : 'cannot be decoded';
}

/** The body of a request or response; a string: what is wrong with the fields that hold it. */
function bodyOf(told: Pick<OfflineRequest, 'body' | 'bodyBase64' | 'messages'>): Buffer | string {
  const { body, bodyBase64, messages } = told;
  if (messages !== undefined) {
    if (body !== undefined || bodyBase64 !== undefined) return 'expected one of body, bodyBase64 and messages';
    const isList = Array.isArray(messages) && messages.every(isBase64);
    return isList ? Buffer.concat(messages.map(framed)) : 'messages must be a list of texts in base64';
  }
  if (body !== undefined && bodyBase64 !== undefined) return 'expected one of body and bodyBase64';
  if (body === undefined && bodyBase64 === undefined) return Buffer.alloc(0);
  if (body !== undefined) return typeof body === 'string' ? Buffer.from(body) : 'body must be a string';
  return isBase64(bodyBase64) ? Buffer.from(bodyBase64, 'base64') : 'bodyBase64 must be base64';
}

function isBase64(value: unknown): value is string {
  // one character of a group of four is no byte
  return typeof value === 'string' && /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3}={0,2})?$/.test(value);
}

/** As it is on the wire, not compressed. */
function framed(base64: string): Buffer {
  const message = Buffer.from(base64, 'base64');
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** As they are on the wire, without the space around values; messages say what they are. */
function headersOf({ headers, messages }: Pick<OfflineRequest, 'headers' | 'messages'>): FlatHeaders {
  const given = flatHeaders(headers);
  const isSaid = Object.keys(headers).some((name) => name.toLowerCase() === 'content-type');
  return messages === undefined || isSaid ? given : [...given, 'content-type', 'application/grpc'];
}

function flatHeaders(headers: OfflineRequest['headers']): FlatHeaders {
  return Object.entries(headers).flatMap(([name, values]) =>
    values.flatMap((value) => [name, withoutSpace(wireText(value))]),
  );
}

function passed(reason: string): OfflineVerdict {
  return { verdict: 'pass', code: ALLOWED, details: [], reason };
}

/** Labels of the first endpoint of each MeshService, by NAMESPACE/NAME. */
function endpointLabels(resources: readonly AnyResource[]) {
  return new Map(
    resources.flatMap((any) => {
      const endpoint = any.type === 'MeshService' ? any.resource.spec.endpoints[0] : undefined;
      return endpoint === undefined
        ? []
        : [[`${any.resource.namespace}/${any.resource.name}`, endpoint.labels] as const];
    }),
  );
}

/** A refusal that no policy made. */
export function verdictOf(code: string, reason: string): OfflineVerdict {
  return { verdict: 'refuse', code, details: [], reason };
}
