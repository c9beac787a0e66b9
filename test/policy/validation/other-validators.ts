import { parse } from 'node:querystring';
import { Ajv2020 } from 'ajv/dist/2020.js';
import Ajv04 from 'ajv-draft-04';
import addFormats from 'ajv-formats';
import { middleware } from 'express-openapi-validator';
import { OpenAPIBackend } from 'openapi-backend';
import type { WholeRequest } from './whole-request.ts';
import type { Version } from './whole-request-documents.ts';

/** Another program that holds requests against an OpenAPI document. */
export interface OtherValidator {
  readonly name: 'openapi-backend' | 'express-openapi-validator';
  allows(request: WholeRequest): Promise<boolean>;
}

/**
 * openapi-backend, by its `validateRequest`. It brings Ajv of draft 7 alone; its hook for another takes those that the versions of OpenAPI are
 * defined by, with the formats. A body goes in as text where it is JSON, else as what `node:querystring` makes of it.
 */
export async function openapiBackend(document: object, version: Version): Promise<OtherValidator> {
  const backend = new OpenAPIBackend({
    definition: structuredClone(document) as never,
    validate: true,
    quick: true,
    customizeAjv(_standard, options) {
      // It puts `required: []` around the schemas, which draft 4 does not allow.
      const unchecked = { ...options, validateSchema: false };
      const dialect = version === '3.0.3' ? new Ajv04.default(unchecked as never) : new Ajv2020(unchecked);
      addFormats.default(dialect as never);
      return dialect as never;
    },
  });
  await backend.init();
  return {
    name: 'openapi-backend',
    async allows({ method, path, query, headers, body }) {
      const fields = Object.fromEntries(headers);
      const isForm = fields['content-type'] === 'application/x-www-form-urlencoded';
      const parsed = isForm && body !== undefined ? { ...parse(body) } : body;
      try {
        return backend.validateRequest({ method, path, query, headers: fields, body: parsed }).valid;
      } catch (error) {
        if (error instanceof Error && error.message === 'Unknown operation') return false;
        throw error;
      }
    },
  };
}

interface ExpressRequest {
  readonly [name: string]: unknown;
}
type Next = (error?: unknown) => void;
type Handler = (request: ExpressRequest, response: object, next: Next) => unknown;

/**
 * express-openapi-validator: its middleware, called in this process with what Express would have made of the request (path, query, cookies and
 * body are parsed before it is asked). What Express' own parsers refuse, JSON that is none, is refused here in their stead.
 */
export function expressOpenapiValidator(document: object): OtherValidator {
  const handlers = middleware({
    apiSpec: structuredClone(document) as never,
    validateRequests: true,
    validateResponses: false,
    fileUploader: false,
    ajvFormats: { mode: 'full' },
  }) as unknown as readonly Handler[];
  return {
    name: 'express-openapi-validator',
    async allows(request) {
      const body = parsedBody(request);
      if (body === MALFORMED) return false;
      const asked = expressRequest(request, body);
      try {
        for (const handler of handlers) await called(handler, asked);
        return true;
      } catch (error) {
        if (typeof error === 'object' && error !== null && 'status' in error) return false;
        throw error;
      }
    },
  };
}

const MALFORMED = Symbol('malformed');

function parsedBody({ headers, body }: WholeRequest): unknown {
  if (body === undefined) return undefined;
  const type = Object.fromEntries(headers)['content-type'];
  if (type === 'application/x-www-form-urlencoded') return { ...parse(body) };
  if (type !== 'application/json') return undefined;
  try {
    return JSON.parse(body);
  } catch {
    return MALFORMED;
  }
}

function expressRequest({ method, path, query, headers }: WholeRequest, body: unknown): ExpressRequest {
  const url = query === '' ? path : `${path}?${query}`;
  const fields = Object.fromEntries(headers);
  const cookies = (fields.cookie ?? '').split('; ').map((pair) => pair.split('='));
  return {
    ...{ method, path, url, originalUrl: url, baseUrl: '', headers: fields, params: {}, body },
    query: { ...parse(query) },
    cookies: Object.fromEntries(cookies),
    app: { param: () => undefined, enabled: () => false },
  };
}

function called(handler: Handler, request: ExpressRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const next: Next = (error) => (error === undefined ? resolve() : reject(error));
    Promise.resolve()
      .then(() => handler(request, {}, next))
      .catch(reject);
  });
}
