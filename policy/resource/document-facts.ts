import type { DocumentProblem } from '../validation/api-model.ts';
import type { NamedOperation } from '../validation/judge/operation-settings.ts';
import { checkOpenApiDocument, MAX_DOCUMENT_PROBLEMS } from '../validation/openapi/check-openapi-document.ts';
import type { DocumentText } from '../validation/openapi/openapi-text.ts';
import { readOpenApi } from '../validation/openapi/read-openapi.ts';
import { compileDescriptorSet } from '../validation/protobuf/compile-descriptor-set.ts';
import { readDescriptorSet } from '../validation/protobuf/read-descriptor-set.ts';
import {
  descriptorSetOf,
  documentTextOf,
  travellingDescriptorSet,
  travellingOpenApi,
} from '../validation/travelling-document.ts';
import type { DocumentField, TravellingForm } from './kinds/api-schema.ts';

/** What is to be said of a schema document, and what others refer to in it: plain data, so that another thread may find it out. */
export interface DocumentFacts {
  /** Positions are those in the document as it is written; a descriptor set has none: line 1. */
  readonly findings: readonly DocumentProblem[];
  readonly operations: readonly DocumentOperation[];
}

export interface DocumentOperation extends NamedOperation {
  /** `GET /orders/{}`, names of parameters left out: the same paths are the same operation. */
  readonly title: string;
  readonly webhook: string | undefined;
}

/** A document read once, for all that is ever asked of it. `document`: its text; of a descriptor set the bytes in base64. */
export function readForGood(field: DocumentField, document: string): { form: TravellingForm; facts: DocumentFacts } {
  if (field === 'protoDescriptorSet') {
    const form = travellingDescriptorSet(document);
    return { form, facts: { findings: descriptorSetFindings(form), operations: operationsIn({ [field]: form }) } };
  }
  const form = travellingOpenApi(document);
  return { form, facts: { findings: openApiFindings(document), operations: operationsIn({ [field]: form }) } };
}

export function openApiFindings(source: string, text?: DocumentText): readonly DocumentProblem[] {
  return checkOpenApiDocument(source, text);
}

export function descriptorSetFindings(form: TravellingForm): readonly DocumentProblem[] {
  const { errors, problems } = compileDescriptorSet(descriptorSetOf(form));
  const at = { line: 1, column: 1 };
  return [
    ...errors.map((message) => ({ ...at, severity: 'error' as const, code: 'invalid_descriptor_set', message })),
    ...problems
      .slice(0, MAX_DOCUMENT_PROBLEMS)
      .map((message) => ({ ...at, severity: 'warning' as const, code: 'schema_unavailable', message })),
  ];
}

/** The operations of a document as it travels; none where it cannot be read. */
export function operationsIn(
  spec: { readonly [field in DocumentField]?: TravellingForm | undefined },
): readonly DocumentOperation[] {
  if (spec.protoDescriptorSet !== undefined) return methodsIn(descriptorSetOf(spec.protoDescriptorSet));
  if (spec.openapi === undefined) return [];
  return readOpenApi(documentTextOf(spec.openapi)).operations.map(({ method, template, operationId, webhook }) => ({
    webhook,
    title: webhook !== undefined ? `webhook ${webhook}` : `${method} ${template.replace(/\{[^}]*\}/g, '{}')}`,
    method,
    template,
    operationId,
  }));
}

function methodsIn(descriptorSet: Buffer): readonly DocumentOperation[] {
  const read = readDescriptorSet(descriptorSet);
  if (read.kind === 'invalid') return [];
  return read.methods.map(({ parent, name }) => {
    const operationId = `${parent.typeName}/${name}`;
    const template = `/${operationId}`;
    return { webhook: undefined, title: `POST ${template}`, method: 'POST', template, operationId };
  });
}
