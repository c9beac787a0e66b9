import type { Resource } from '#policy/resource/kind.ts';
import type { ApiSchemaSpec } from '#policy/resource/kinds/api-schema.ts';
import { type ApiValidationPolicySpec, apiValidationPolicyKind } from '#policy/resource/kinds/api-validation-policy.ts';
import { textContext } from '#policy/schema/document-context.ts';
import { compileValidation } from '#policy/validation/compile-validation.ts';
import { type GenerateValidators, generateValidators } from '#policy/validation/generate-validators.ts';
import type { Finding, RequestValidation } from '#policy/workload-policy.ts';

/** A policy `shop/NAME` in Enforce mode over the documents; throws where the spec is wrong. */
export function policyOf(spec: object, name = 'policy'): Resource<ApiValidationPolicySpec> {
  const reasons: string[] = [];
  const read = apiValidationPolicyKind.spec.read({ mode: 'Enforce', ...spec }, [], textContext(reasons, name));
  if (read === undefined || reasons.length > 0) throw new Error(reasons.join('; '));
  return { apiVersion: 'lateral.dev/v1alpha1', kind: 'APIValidationPolicy', namespace: 'shop', name, spec: read };
}

export function schemaOf(name: string, inline: string): Resource<ApiSchemaSpec> {
  return {
    apiVersion: 'lateral.dev/v1alpha1',
    kind: 'APISchema',
    namespace: 'shop',
    name,
    spec: { openapi: { inline } },
  };
}

/** An OpenAPI document with these `paths` (and more, indented like it). */
export function openApi(version: string, paths: string): string {
  return `openapi: ${version}\ninfo: {title: test, version: "1"}\npaths:\n${paths}`;
}

export async function validationOf(
  document: string | readonly string[],
  spec: object = {},
  generate: GenerateValidators = generateValidators,
): Promise<{ readonly validation: RequestValidation; readonly problems: readonly string[] }> {
  const documents = typeof document === 'string' ? [document] : document;
  const schemas = documents.map((text, index) => schemaOf(`schema-${index}`, text));
  const policies = [policyOf({ schemaRefs: schemas.map(({ name }) => name), ...spec })];
  const { validation, problems } = await compileValidation({ policies, schemas, generate });
  if (validation === undefined) throw new Error('no validation');
  return { validation, problems };
}

export interface SentRequest {
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  /** Chunked: the length of the body is not declared. */
  readonly isChunked?: boolean;
}

/** All findings about a request, those about its body too: `effect code`. */
export function findings(
  validation: RequestValidation,
  requestLine: string,
  { headers = ['content-type', 'application/json'], body, isChunked = false }: SentRequest = {},
): readonly Finding[] {
  const [method = '', target = ''] = requestLine.split(' ');
  const [path = '', query = ''] = target.split('?');
  const bytes = Buffer.from(body ?? '');
  const hasBody = isChunked || bytes.length > 0;
  const contentLength = isChunked || !hasBody ? undefined : bytes.length;
  const head = validation.judgeHead({ method, path, query, headers, hasBody, contentLength });
  if (head.body === undefined) return head.findings;
  const ofBody = bytes.length > head.body.maxBytes ? [head.body.tooLarge(bytes.length)] : head.body.judge(bytes);
  return [...head.findings, ...ofBody];
}

/** The code of the first finding, or `allowed`. */
export function codeOf(validation: RequestValidation, requestLine: string, sent?: SentRequest): string {
  return findings(validation, requestLine, sent)[0]?.code ?? 'allowed';
}

export interface SentResponse {
  readonly status?: number;
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
}

/** All findings about a response to a request that is valid. */
export function responseFindings(
  validation: RequestValidation,
  requestLine: string,
  { status = 200, headers = ['content-type', 'application/json'], body }: SentResponse = {},
): readonly Finding[] {
  const [method = '', target = ''] = requestLine.split(' ');
  const [path = '', query = ''] = target.split('?');
  const head = validation.judgeHead({ method, path, query, headers: [], hasBody: false, contentLength: undefined });
  const bytes = Buffer.from(body ?? '');
  const contentLength = bytes.length;
  const parts = { status, headers, isHead: method === 'HEAD', hasBody: contentLength > 0, contentLength };
  const judgement = head.responses?.judgeHead(parts);
  if (judgement?.body === undefined) return judgement?.findings ?? [];
  return [...judgement.findings, ...judgement.body.judge(bytes)];
}
