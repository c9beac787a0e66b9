import { isRecord } from '#policy/schema/schema.ts';
import { type JsonObject, objectAt, textAt } from '../injection/json-object.ts';
import type { PatchOperation } from '../injection/json-patch.ts';

const API_VERSION = 'admission.k8s.io/v1';
/** The API server cuts a warning above 256 characters, and all together above 4,096. */
const MAX_WARNING_LENGTH = 256;
const MAX_WARNINGS_LENGTH = 4_096;
/** Of a refusal; what is longer is of no use on a terminal. */
const MAX_MESSAGE_LENGTH = 8_192;

/** What the API server asks. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: string;
  /** Empty: the object itself, no subresource. */
  readonly subResource: string;
  readonly namespace: string;
  /** As it would be stored; undefined on DELETE. */
  readonly object: JsonObject | undefined;
}

/** What is answered, before it is put into the words of the API. */
export type AdmissionAnswer =
  | { readonly isAllowed: true; readonly warnings?: readonly string[]; readonly patch?: readonly PatchOperation[] }
  | {
      readonly isAllowed: false;
      readonly code: 403 | 422 | 500;
      readonly message: string;
      readonly warnings?: readonly string[];
    };

/** Reads an AdmissionReview; a string says what is wrong with it. */
export function readAdmissionReview(body: string): AdmissionRequest | string {
  let review: unknown;
  try {
    review = JSON.parse(body);
  } catch {
    return 'the body is not JSON';
  }
  if (!isRecord(review) || review['kind'] !== 'AdmissionReview') return 'expected kind AdmissionReview';
  if (review['apiVersion'] !== API_VERSION) return `expected apiVersion ${API_VERSION}`;
  const request = objectAt(review, 'request');
  const uid = textAt(request, 'uid');
  if (uid === undefined || uid === '') return 'request.uid is missing';
  const object = request['object'];
  return {
    uid,
    operation: textAt(request, 'operation') ?? '',
    subResource: textAt(request, 'subResource') ?? '',
    namespace: textAt(request, 'namespace') ?? '',
    object: isRecord(object) ? object : undefined,
  };
}

/** The AdmissionReview that answers it. */
export function admissionResponse(uid: string, answer: AdmissionAnswer): JsonObject {
  const warnings = cutWarnings(answer.warnings ?? []);
  const common = { uid, allowed: answer.isAllowed, ...(warnings.length === 0 ? {} : { warnings }) };
  return { apiVersion: API_VERSION, kind: 'AdmissionReview', response: { ...common, ...outcome(answer) } };
}

function outcome(answer: AdmissionAnswer): JsonObject {
  if (!answer.isAllowed) {
    return { status: { code: answer.code, message: cut(answer.message, MAX_MESSAGE_LENGTH) } };
  }
  if (answer.patch === undefined || answer.patch.length === 0) return {};
  return { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(answer.patch)).toString('base64') };
}

function cutWarnings(warnings: readonly string[]): string[] {
  let room = MAX_WARNINGS_LENGTH;
  return warnings
    .map((warning) => cut(warning.replace(/\s+/g, ' '), MAX_WARNING_LENGTH))
    .filter((warning) => {
      room -= warning.length;
      return room >= 0;
    });
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
