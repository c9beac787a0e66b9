import { isUtf8 } from 'node:buffer';
import type { RefusalDetail } from '../../error/refusal.ts';
import type { FormShape, MultipartShape, PrimitiveShape } from '../api-model.ts';
import type { BodyFault } from '../body-fault.ts';
import { add, decodeAll, objectValue, primitiveCandidates } from '../decode/parameter-value.ts';
import { decodeFormText, MAX_FORM_FIELDS, parseForm, shadowedBy } from '../decode/parse-form.ts';
import { BRACKETED, type PlacedPart, readParts } from '../decode/read-parts.ts';
import { scanJson } from '../decode/scan-json.ts';
import { type FieldOwners, takeStyled } from '../decode/styled-values.ts';
import type { MessageJudge } from '../protobuf/judge-message.ts';
import type { OperationSettings, RuntimeContent, RuntimeParameter } from '../runtime-operation.ts';
import { unknownProperties } from '../schema/declared-names.ts';
import { beginJudgement, takeReports } from '../schema/judgement.ts';
import { MAX_DETAILS, pointerTo, validate } from '../schema/validation-details.ts';
import { WorkExceeded } from '../schema/work-budget.ts';
import { judgeHeaders } from './judge-parameters.ts';

/** Holds a whole body, not empty, against an entry of `content`; undefined: it is valid. */
export function judgeBody(
  body: Buffer,
  runtime: RuntimeContent,
  settings: OperationSettings,
  boundary?: string,
): BodyFault | undefined {
  try {
    return judgeByFormat(body, runtime, settings, boundary);
  } catch (error) {
    if (!(error instanceof WorkExceeded)) throw error;
    return { code: 'invalid_body', details: [{ in: 'body', pointer: '', keyword: 'work', message: error.message }] };
  }
}

function judgeByFormat(
  body: Buffer,
  runtime: RuntimeContent,
  settings: OperationSettings,
  boundary: string | undefined,
): BodyFault | undefined {
  const { content, validator, names, messages } = runtime;
  if (messages !== undefined) return judgeMessage(body, messages, content.messageType ?? -1, settings);
  if (content.multipart !== undefined) return judgeParts(body, boundary ?? '', content.multipart, runtime, settings);
  if (!isUtf8(body)) return malformed('encoding', `is not UTF-8 at byte ${invalidByte(body) + 1}`);
  if (content.text !== undefined) return judgeText(body.toString('utf8'), content.text, validator, settings);
  // RFC 8259 §8.1: a byte order mark must not be there; parsers differ on it.
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf)
    return malformed('encoding', 'begins with a byte order mark');
  const text = body.toString('utf8');
  const read =
    content.form === undefined
      ? readJson(text, settings, body)
      : readForm(text, content.form, runtime.owners, settings);
  if ('fault' in read) return read.fault;
  beginJudgement(settings.unenforceable);
  const details = validator === undefined ? undefined : validate(validator, read.value, 'body', '');
  if (details !== undefined) return { code: 'invalid_body', details };
  const reports = takeReports();
  const report: BodyFault | undefined =
    reports.length === 0 ? undefined : { code: 'invalid_body', details: reports, isReport: true };
  if (names === undefined || settings.unknownProperties === 'Allow') return report;
  const unknown = unknownProperties(names.unit, names.node, read.value);
  return unknown.length === 0 ? report : { code: 'unknown_property', details: unknown };
}

/** A body that is no form. */
export function malformedForm(reason: string): BodyFault {
  return malformed('multipart', reason);
}

function judgeMessage(
  body: Buffer,
  messages: MessageJudge,
  type: number,
  settings: OperationSettings,
): BodyFault | undefined {
  const judged = messages.judge(body, type, settings);
  return judged && { code: judged.code, details: judged.details.slice(0, MAX_DETAILS) };
}

function judgeParts(
  body: Buffer,
  boundary: string,
  shape: MultipartShape,
  { validator, partHeaders, owners }: RuntimeContent,
  settings: OperationSettings,
): BodyFault | undefined {
  const read = readParts(body, boundary, shape, settings.json, owners);
  if ('fault' in read) {
    const { name, message } = read.fault;
    return malformed('multipart', message, name === undefined ? '' : pointerTo(name));
  }
  beginJudgement(settings.unenforceable);
  const wrong = partHeaders === undefined ? [] : judgePartHeaders(read.parts, partHeaders, settings);
  if (wrong.length > 0) return { code: 'invalid_body', details: wrong };
  const reports = takeReports();
  const fault = judgeValues([read.value], validator, settings);
  if (reports.length === 0 || (fault !== undefined && fault.isReport !== true)) return fault;
  return {
    code: 'invalid_body',
    details: [...reports, ...(fault?.details ?? [])].slice(0, MAX_DETAILS),
    isReport: true,
  };
}

/** What is wrong with the header fields of parts, at the places of the parts. */
function judgePartHeaders(
  parts: readonly PlacedPart[],
  declared: ReadonlyMap<string, readonly RuntimeParameter[]>,
  settings: OperationSettings,
): readonly RefusalDetail[] {
  const found: RefusalDetail[] = [];
  for (const { property, index, isList, headers } of parts) {
    const parameters = declared.get(property);
    if (parameters === undefined) continue;
    const pointer = isList ? `${pointerTo(property)}/${index}` : pointerTo(property);
    for (const detail of judgeHeaders(parameters, [...headers].flat(), settings)) {
      found.push({ ...detail, in: 'body', pointer, message: `header ${detail.pointer.slice(1)} ${detail.message}` });
    }
    if (found.length >= MAX_DETAILS) break;
  }
  return found.slice(0, MAX_DETAILS);
}

function judgeText(
  text: string,
  shape: PrimitiveShape,
  validator: RuntimeContent['validator'],
  settings: OperationSettings,
): BodyFault | undefined {
  return judgeValues(primitiveCandidates(text, shape), validator, settings);
}

/** What a body can be read as; the first that is valid counts. */
function judgeValues(
  values: readonly unknown[],
  validator: RuntimeContent['validator'],
  settings: OperationSettings,
): BodyFault | undefined {
  let first: BodyFault | undefined;
  for (const value of values) {
    beginJudgement(settings.unenforceable);
    const details = validator === undefined ? undefined : validate(validator, value, 'body', '');
    if (details === undefined) {
      const reports = takeReports();
      return reports.length === 0 ? undefined : { code: 'invalid_body', details: reports, isReport: true };
    }
    first ??= { code: 'invalid_body', details };
  }
  return first;
}

type Read = { readonly value: unknown } | { readonly fault: BodyFault };

function readJson(text: string, settings: OperationSettings, bytes: Buffer): Read {
  const fault = scanJson(text, settings.json, bytes);
  if (fault === undefined) return { value: JSON.parse(text) };
  return { fault: malformed('json', `${fault.reason} at ${position(text, fault.offset)}`) };
}

function readForm(
  text: string,
  { plain }: FormShape,
  owners: FieldOwners | undefined,
  settings: OperationSettings,
): Read {
  const parsed = parseForm(text);
  if (parsed === undefined) return { fault: malformed('form', `has more than ${MAX_FORM_FIELDS} fields`) };
  const raw = new Map<string, string[]>();
  for (const field of parsed) {
    if (field.name === undefined) return { fault: malformed('form', 'a name has a broken percent-encoding') };
    const isStyled = owners?.of(field.name) !== undefined;
    const shadowed = isStyled
      ? undefined
      : (owners?.shadowedBy(field.name) ?? shadowedBy(field.name, plain.properties));
    if (shadowed !== undefined) return { fault: malformed('form', BRACKETED, pointerTo(shadowed)) };
    add(raw, field.name, field.raw ?? '');
  }
  const styled = owners && takeStyled(owners, raw, { decode: decodeFormText, json: settings.json });
  if (styled !== undefined && 'problem' in styled)
    return { fault: malformed('form', styled.problem, pointerTo(styled.name)) };
  const fields = new Map<string, readonly string[]>();
  for (const [name, texts] of raw) {
    const decoded = decodeAll(texts);
    if (decoded === undefined) return { fault: malformed('form', 'has a broken percent-encoding', pointerTo(name)) };
    fields.set(name, decoded);
  }
  const value = objectValue(fields, plain);
  if (typeof value === 'string') return { fault: malformed('form', 'is given more than once', pointerTo(value)) };
  return { value: styled === undefined ? value : Object.fromEntries([...Object.entries(value), ...styled.values]) };
}

function malformed(keyword: string, message: string, pointer = ''): BodyFault {
  return { code: 'malformed_body', details: [{ in: 'body', pointer, keyword, message }] };
}

/** `line 2, column 17`, both from 1; columns in UTF-16 code units. */
function position(text: string, offset: number): string {
  let line = 1;
  let lineStart = 0;
  // not split: sixty million empty lines would be as many strings
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) {
    line += 1;
    lineStart = at + 1;
  }
  return `line ${line}, column ${offset - lineStart + 1}`;
}

/** Index of the first byte that is not UTF-8: where decoding puts a replacement that was not sent. */
function invalidByte(body: Buffer): number {
  let start = 0;
  let end = body.length;
  // All up to `start` is UTF-8, all up to `end` is not.
  while (end - start > 1) {
    const middle = (start + end) >> 1;
    if (isUtf8(body.subarray(0, characterEnd(body, middle)))) start = middle;
    else end = middle;
  }
  return start;
}

/** The end of the character that the byte before an index belongs to. */
function characterEnd(body: Buffer, index: number): number {
  let end = index;
  while (end < body.length && end < index + 3 && ((body[end] ?? 0) & 0xc0) === 0x80) end += 1;
  return end;
}
