import type { DocumentProblem } from '../api-model.ts';
import { type Notice, SchemaConverter } from '../schema/convert-schema.ts';
import type { SchemaFault } from '../schema/schema-references.ts';
import type { DocumentText } from './openapi-text.ts';
import { type ReadDocument, type ReadOperation, readOpenApi } from './read-openapi.ts';
import type { ReadContent } from './read-request-body.ts';
import { refusalOfRequests, refusalOfResponses, titleOf } from './unavailable-operation.ts';

/** Problems reported for one document; the rest is left out. */
export const MAX_DOCUMENT_PROBLEMS = 200;

/**
 * All that is wrong with an OpenAPI document, by position in its text. Errors make it unusable; a warning `schema_unavailable` says that an
 * operation, or a response of it where a policy enforces responses, will be refused because it cannot be checked; others what of its schemas is
 * not enforced. Compiles nothing. `text`: the source as it was read already.
 */
export function checkOpenApiDocument(source: string, text?: DocumentText): readonly DocumentProblem[] {
  const document = readOpenApi(source, text);
  const requests = new SchemaConverter(document.references, document.version);
  // Where nothing is readOnly or writeOnly the schemas of requests are those of responses.
  const responses = document.hasDirections
    ? new SchemaConverter(document.references, document.version, 'response')
    : requests;
  const problems = [...document.problems];
  const add = (found: Iterable<DocumentProblem>) => {
    for (const problem of found) {
      if (problems.length >= MAX_DOCUMENT_PROBLEMS) return;
      problems.push(problem);
    }
  };
  add(requestProblems(document, requests));
  const ofRequests = requests.notices;
  add(responseProblems(document, responses));
  add(noticeProblems(document, ofRequests, responses.notices));
  return problems.slice(0, MAX_DOCUMENT_PROBLEMS).sort(byPosition);
}

interface Fault {
  /** What cannot be checked: `GET /orders`, `GET /orders 200 with application/json`. */
  readonly title: string;
  readonly fault: SchemaFault;
}

function* requestProblems(document: ReadDocument, converter: SchemaConverter): Iterable<DocumentProblem> {
  for (const operation of document.operations) {
    for (const { title, fault } of requestFaults(operation, converter)) {
      yield problemOf(document, fault, refusalOfRequests(title, fault));
    }
  }
}

/** A fault that many operations have, of a schema of errors, is told once. */
function* responseProblems(document: ReadDocument, converter: SchemaConverter): Iterable<DocumentProblem> {
  const found = new Map<string, { readonly first: Fault; others: number }>();
  for (const operation of document.operations) {
    for (const one of responseFaults(operation, converter)) {
      const key = JSON.stringify([one.fault.path.map(String), one.fault.message]);
      const known = found.get(key);
      if (known === undefined) found.set(key, { first: one, others: 0 });
      else known.others += 1;
    }
  }
  for (const { first, others } of found.values()) {
    yield problemOf(document, first.fault, refusalOfResponses(first.title, first.fault, others));
  }
}

/** What is not enforced, of requests and of what responses have besides; a format is told once. */
function* noticeProblems(
  { text }: ReadDocument,
  ofRequests: readonly Notice[],
  ofResponses: readonly Notice[],
): Iterable<DocumentProblem> {
  const told = new Set<string>();
  for (const [index, { path, code, message }] of [...ofRequests, ...ofResponses].entries()) {
    const key = code === 'format_not_enforced' ? message : JSON.stringify(path.map(String));
    if (told.has(key)) continue;
    told.add(key);
    const consequence = index < ofRequests.length ? OF_REQUESTS[code] : OF_RESPONSES[code];
    yield text.problem('warning', path, code, message + consequence);
  }
}

const OF_REQUESTS: { readonly [C in Notice['code']]: string } = {
  pattern_not_enforceable: '; texts that it is asked of are refused unless request.unenforceable is Report',
  format_not_enforced: '',
};
const OF_RESPONSES: typeof OF_REQUESTS = {
  pattern_not_enforceable: '; responses with texts that it is asked of do not fit',
  format_not_enforced: '',
};

function problemOf({ text }: ReadDocument, { path }: SchemaFault, message: string): DocumentProblem {
  return text.problem('warning', path, 'schema_unavailable', message);
}

function* requestFaults(operation: ReadOperation, converter: SchemaConverter): Iterable<Fault> {
  const title = titleOf(operation);
  if (operation.fault !== undefined) {
    yield { title, fault: operation.fault };
    return;
  }
  for (const { schema } of operation.parameters) yield* faultIn(title, converter.faultOf(schema.path));
  for (const content of operation.body?.contents ?? []) yield* contentFaults(title, content, converter);
}

function* responseFaults(operation: ReadOperation, converter: SchemaConverter): Iterable<Fault> {
  for (const { status, headers, contents, fault } of operation.responses) {
    const title = `${titleOf(operation)} ${status}`;
    yield* faultIn(title, fault);
    for (const { schema } of headers) yield* faultIn(title, converter.faultOf(schema.path));
    for (const content of contents) yield* contentFaults(title, content, converter);
  }
}

function* contentFaults(title: string, content: ReadContent, converter: SchemaConverter): Iterable<Fault> {
  const of = `${title} with ${content.mediaRange}`;
  if (content.fault !== undefined || content.schema === undefined) {
    yield* faultIn(of, content.fault);
    return;
  }
  yield* faultIn(of, converter.faultOf(content.schema.path));
  for (const { headers } of content.partHeaders ?? []) {
    for (const { schema } of headers) yield* faultIn(of, converter.faultOf(schema.path));
  }
}

function* faultIn(title: string, fault: SchemaFault | undefined): Iterable<Fault> {
  if (fault !== undefined) yield { title, fault };
}

function byPosition(left: DocumentProblem, right: DocumentProblem): number {
  const [file = '', other = ''] = [left.file, right.file];
  if (file !== other) return file < other ? -1 : 1;
  return left.line - right.line || left.column - right.column;
}
