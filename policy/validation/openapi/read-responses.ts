import { isRecord } from '../../schema/schema.ts';
import { type Located, type References, SchemaFault } from '../schema/schema-references.ts';
import { type ReadParameter, readHeaders } from './read-parameters.ts';
import { type ReadContent, readContents } from './read-request-body.ts';

/** A response as declared; its schemas are not looked at yet. */
export interface ReadResponse {
  /** `200`, `4XX` or `default`. */
  readonly status: string;
  readonly headers: readonly ReadParameter[];
  /** Empty: the document says nothing about the body. */
  readonly contents: readonly ReadContent[];
  /** Why responses of this status cannot be checked. */
  readonly fault: SchemaFault | undefined;
}

/** Source: OpenAPI 3.1 §4.8.16: a status, a range by an upper case X, or default. */
const STATUS = /^(?:[1-5]\d\d|[1-5]XX|default)$/;

/** Reads the `responses` of an operation. What is wrong with one of them is its `fault`: requests are judged all the same. */
export function readResponses({ value, path }: Located, references: References): readonly ReadResponse[] {
  if (!isRecord(value)) return [];
  return Object.entries(value)
    .filter(([status]) => !status.startsWith('x-'))
    .map(([status, response]) => readResponse(status, { value: response, path: [...path, status] }, references));
}

function readResponse(status: string, start: Located, references: References): ReadResponse {
  try {
    if (!STATUS.test(status)) throw new SchemaFault(start.path, `${status} is not a status, 4XX or default`);
    const { value, path } = references.follow(start);
    if (!isRecord(value)) throw new SchemaFault(path, 'expected a response');
    const headers = readHeaders({ value: value.headers, path: [...path, 'headers'] }, references);
    const content = { value: value.content, path: [...path, 'content'] };
    const contents = value.content === undefined ? [] : readContents(content, references);
    return { status, headers, contents, fault: undefined };
  } catch (error) {
    if (!(error instanceof SchemaFault)) throw error;
    return { status, headers: [], contents: [], fault: error };
  }
}
