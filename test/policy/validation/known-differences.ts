import type { OtherValidator } from './other-validators.ts';
import type { WrongRequest } from './whole-request.ts';
import type { Version } from './whole-request-documents.ts';

/** A request, and in what way it is wrong; of a valid one `keyword` and what follows are empty. */
export type Asked = Pick<WrongRequest, 'operation' | 'place' | 'pointer' | 'keyword' | 'request'> & {
  readonly version: Version;
};

export interface KnownDifference {
  readonly of: readonly OtherValidator['name'][];
  /** What it does that is not done here. */
  readonly does: 'allows' | 'refuses';
  readonly where: (asked: Asked) => boolean;
  readonly reason: string;
}

const BOTH = ['openapi-backend', 'express-openapi-validator'] as const;

/** Where another validator judges otherwise, and is not followed. */
export const KNOWN_DIFFERENCES: { readonly [name: string]: KnownDifference } = {
  'numbers by JavaScript': {
    of: BOTH,
    does: 'allows',
    where: ({ keyword }) => keyword === 'number',
    reason: 'text becomes a number as JavaScript converts it (0x10, 07); here it must be an integer as JSON writes one',
  },
  'coercion within JSON': {
    of: BOTH,
    does: 'allows',
    where: ({ operation, keyword, request }) =>
      operation === 'written' && keyword === 'type' && /null|true/.test(request.query),
    reason: 'values of a parameter that is JSON are coerced like text: null counts as 0, true as 1',
  },
  'content types': {
    of: ['openapi-backend'],
    does: 'allows',
    where: ({ keyword }) => keyword === 'mediaType',
    reason: 'a body of a type that the operation does not declare is held against the schema of the one it does',
  },
  'label and matrix': {
    of: BOTH,
    does: 'refuses',
    where: ({ operation }) => operation === 'label' || operation === 'matrix',
    reason: 'these styles of path parameters are not read',
  },
  'lists in headers': {
    of: BOTH,
    does: 'refuses',
    where: ({ operation }) => operation === 'headers',
    reason: 'a list in a header field is not taken apart',
  },
  'lists in paths': {
    of: ['openapi-backend'],
    does: 'refuses',
    where: ({ operation }) => operation === 'list',
    reason: 'a list in a path is not taken apart',
  },
  'spread objects': {
    of: ['openapi-backend'],
    does: 'refuses',
    where: ({ operation }) => operation === 'spread',
    reason: 'style form, exploded: the properties of the object are taken for unknown parameters',
  },
  'absent deepObject': {
    of: ['express-openapi-validator'],
    does: 'refuses',
    where: ({ operation, request }) => operation === 'search' && !request.query.includes('where'),
    reason: 'an optional object of style deepObject that is not sent is judged as an empty one',
  },
  'readOnly and required': {
    of: ['openapi-backend'],
    does: 'refuses',
    where: ({ operation, request }) => operation === 'register' && request.body?.includes('"id"') === false,
    reason: 'what is readOnly is required of responses only (OpenAPI 3.0.3 §4.7.24.2)',
  },
  'readOnly and sent': {
    of: ['express-openapi-validator'],
    does: 'refuses',
    where: ({ operation, request }) => operation === 'register' && request.body?.includes('"id"') === true,
    reason: 'what is readOnly SHOULD NOT be sent (OpenAPI 3.0.3 §4.7.24.2): a request that does is no error',
  },
  'fractions of numbers': {
    of: BOTH,
    does: 'refuses',
    where: ({ request }) => request.body === '1.13',
    reason: 'multipleOf 0.01 is asked of the quotient in binary, which is 112.99999999999999',
  },
  'names of prototypes': {
    of: BOTH,
    does: 'allows',
    where: ({ request }) => request.body === '{"constructor":1}',
    reason: 'a required property counts as there where every object inherits one of its name',
  },
  'items by contains': {
    of: BOTH,
    does: 'allows',
    where: ({ keyword, request }) => keyword === 'unevaluatedItems' && request.body === '[1,"a"]',
    reason: 'with contains every item counts as looked at, not those alone that it found (JSON Schema 2020-12 §11.2)',
  },
  'beside $ref in 3.0': {
    of: ['express-openapi-validator'],
    does: 'refuses',
    where: ({ version, request }) => version === '3.0.3' && request.body === '{"a":"abc"}',
    reason: 'what stands beside a $ref is ignored (OpenAPI 3.0.3 §4.7.23)',
  },
  'beside $ref in 3.1': {
    of: ['openapi-backend'],
    does: 'allows',
    where: ({ version, request }) => version === '3.1.0' && request.body === '{"a":"ab"}',
    reason: 'what stands beside a $ref holds as well (JSON Schema 2020-12 §8.2.3.1)',
  },
  'typed form fields': {
    of: BOTH,
    does: 'refuses',
    where: ({ operation, request }) => operation === 'subscribe' && /seats|trial/.test(request.body ?? ''),
    reason: 'fields of a form stay text: no number or boolean fits',
  },
};
