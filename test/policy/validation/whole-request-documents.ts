/** What differs between the two versions of the dialect. */
interface Dialect {
  nullable(schema: { readonly type: string; readonly [keyword: string]: unknown }): object;
  above(limit: number): object;
  below(limit: number): object;
  only(value: string): object;
}

const DIALECTS = {
  '3.0.3': {
    nullable: (schema) => ({ ...schema, nullable: true }),
    above: (limit) => ({ minimum: limit, exclusiveMinimum: true }),
    below: (limit) => ({ maximum: limit, exclusiveMaximum: true }),
    only: (value) => ({ type: 'string', enum: [value] }),
  },
  '3.1.0': {
    nullable: ({ type, ...rest }) => ({ ...rest, type: [type, 'null'] }),
    above: (limit) => ({ exclusiveMinimum: limit }),
    below: (limit) => ({ exclusiveMaximum: limit }),
    only: (value) => ({ const: value }),
  },
} as const satisfies { readonly [version: string]: Dialect };

export type Version = keyof typeof DIALECTS;
export const VERSIONS: readonly Version[] = ['3.0.3', '3.1.0'];

const refer = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: object, required = true) => ({ required, content: { 'application/json': { schema } } });
const query = (name: string, schema: object, more: object = {}) => ({ name, in: 'query', schema, ...more });
const path = (name: string, schema: object, more: object = {}) => ({
  name,
  in: 'path',
  required: true,
  schema,
  ...more,
});
const header = (name: string, schema: object, more: object = {}) => ({ name, in: 'header', schema, ...more });
const integer = (minimum: number, maximum: number) => ({ type: 'integer', minimum, maximum });
const pattern = (source: string) => ({ type: 'string', pattern: source });
const listOf = (items: object, more: object = {}) => ({ type: 'array', items, ...more });
const OK = { responses: { 204: { description: 'done' } } };

/** One API in two versions of OpenAPI: every kind of parameter and the keywords that request bodies are mostly made of. */
export function wholeRequestDocument(version: Version) {
  const { nullable, above, below, only }: Dialect = DIALECTS[version];
  const word = pattern('^[a-z]{2,8}$');
  const cell = { type: 'object', required: ['x'], additionalProperties: false };
  const cells = { ...cell, properties: { x: integer(0, 9), y: integer(0, 9) } };
  return {
    openapi: version,
    info: { title: 'shop', version: '1' },
    paths: {
      '/orders': {
        get: {
          operationId: 'findOrders',
          ...OK,
          parameters: [
            query('status', listOf({ type: 'string', enum: ['open', 'paid', 'sent'] }, { minItems: 2, maxItems: 3 })),
            query('tags', listOf(word, { uniqueItems: true }), { explode: false }),
            query('limit', { ...integer(1, 100), multipleOf: 5 }, { required: true }),
            query('above', { type: 'number', ...above(0), ...below(50) }),
            query('exact', { type: 'boolean' }),
            query('text', { type: 'string', minLength: 2, maxLength: 6 }),
            query('since', { type: 'string', format: 'date-time' }),
            header('X-Request-Id', { type: 'string', format: 'uuid' }, { required: true }),
            header('X-Retry', integer(0, 3)),
          ],
        },
        post: { operationId: 'createOrder', ...OK, requestBody: json(refer('Order')) },
      },
      '/shops/{shop}/orders/{order}': {
        parameters: [path('shop', word)],
        get: {
          operationId: 'readOrder',
          ...OK,
          parameters: [path('order', { ...integer(1, 1_000_000), format: 'int32' })],
        },
        patch: {
          operationId: 'changeOrder',
          ...OK,
          parameters: [path('order', integer(1, 99))],
          requestBody: json({ allOf: [refer('Change'), { type: 'object', required: ['reason'] }] }, false),
        },
      },
      '/search': {
        get: {
          operationId: 'search',
          ...OK,
          parameters: [
            query('where', cells, { style: 'deepObject', explode: true }),
            query('ids', listOf(integer(1, 9), { minItems: 2 }), { style: 'pipeDelimited', explode: false }),
            query('names', listOf(word, { minItems: 2 }), { style: 'spaceDelimited', explode: false }),
          ],
        },
      },
      '/spread': { get: { operationId: 'spread', ...OK, parameters: [query('cell', cells, { required: true })] } },
      '/written': {
        get: {
          operationId: 'written',
          ...OK,
          parameters: [
            { name: 'cell', in: 'query', required: true, content: { 'application/json': { schema: cells } } },
          ],
        },
      },
      '/labels/{label}': {
        get: { operationId: 'label', ...OK, parameters: [path('label', integer(1, 9), { style: 'label' })] },
      },
      '/matrices/{matrix}': {
        get: {
          operationId: 'matrix',
          ...OK,
          parameters: [path('matrix', listOf(integer(1, 9), { minItems: 2 }), { style: 'matrix', explode: true })],
        },
      },
      '/lists/{list}': {
        get: { operationId: 'list', ...OK, parameters: [path('list', listOf(integer(1, 9), { minItems: 2 }))] },
      },
      '/headers': {
        get: {
          operationId: 'headers',
          ...OK,
          parameters: [header('X-Codes', listOf(integer(1, 9), { minItems: 2, maxItems: 4 }), { required: true })],
        },
      },
      '/cookies': {
        get: {
          operationId: 'cookies',
          ...OK,
          parameters: [{ name: 'session', in: 'cookie', required: true, schema: pattern('^[a-f0-9]{4}$') }],
        },
      },
      '/payments': { put: { operationId: 'pay', ...OK, requestBody: json(refer('Payment')) } },
      '/profiles/{profile}': {
        put: {
          operationId: 'writeProfile',
          ...OK,
          parameters: [path('profile', { type: 'string', format: 'uuid' })],
          requestBody: json(refer('Profile')),
        },
      },
      '/trees': { post: { operationId: 'plant', ...OK, requestBody: json(refer('Tree')) } },
      '/devices': { post: { operationId: 'register', ...OK, requestBody: json(refer('Device')) } },
      '/subscriptions': {
        post: {
          operationId: 'subscribe',
          ...OK,
          requestBody: {
            required: true,
            content: { 'application/x-www-form-urlencoded': { schema: refer('Subscription') } },
          },
        },
      },
    },
    components: {
      schemas: {
        Order: {
          type: 'object',
          required: ['customer', 'lines'],
          additionalProperties: false,
          properties: {
            customer: { type: 'string', format: 'uuid' },
            lines: listOf(refer('Line'), { minItems: 1, maxItems: 4 }),
            tags: listOf({ type: 'string', enum: ['gift', 'rush', 'fragile'] }, { uniqueItems: true }),
            priority: nullable({ type: 'integer', enum: [1, 2, null] }),
            address: refer('Address'),
            paid: { type: 'boolean', default: false },
            counts: { type: 'object', maxProperties: 3, additionalProperties: integer(0, 9) },
          },
        },
        Line: {
          type: 'object',
          required: ['sku', 'quantity'],
          additionalProperties: false,
          properties: {
            sku: pattern('^[A-Z]{2}-[0-9]{3}$'),
            quantity: integer(1, 99),
            price: { type: 'number', ...above(0), maximum: 1_000, multipleOf: 0.25 },
            note: nullable({ type: 'string', maxLength: 10 }),
          },
        },
        Address: {
          type: 'object',
          required: ['street', 'zip'],
          properties: {
            street: { type: 'string', minLength: 1, maxLength: 20 },
            zip: pattern('^[0-9]{5}$'),
            position: listOf({ type: 'number', minimum: -90, ...below(90) }, { minItems: 2, maxItems: 2 }),
          },
        },
        Change: {
          type: 'object',
          properties: { reason: { type: 'string', minLength: 3 }, discount: { type: 'integer', ...below(30) } },
        },
        Payment: { oneOf: [refer('Card'), refer('Transfer'), { type: 'string', enum: ['cash', 'none'] }] },
        Card: {
          type: 'object',
          required: ['kind', 'number'],
          additionalProperties: false,
          properties: { kind: only('card'), number: pattern('^[0-9]{12}$'), expires: pattern('^[0-9]{2}/[0-9]{2}$') },
        },
        Transfer: {
          type: 'object',
          required: ['kind', 'amount'],
          properties: { kind: only('transfer'), amount: integer(1, 500), due: { type: 'string', format: 'date' } },
        },
        Profile: {
          allOf: [
            {
              type: 'object',
              required: ['email'],
              properties: {
                email: { type: 'string', format: 'email' },
                born: { type: 'string', format: 'date' },
                seen: { type: 'string', format: 'date-time' },
                home: { type: 'string', format: 'uri' },
                v4: { type: 'string', format: 'ipv4' },
                v6: { type: 'string', format: 'ipv6' },
              },
            },
            {
              type: 'object',
              properties: {
                picture: { type: 'string', format: 'byte' },
                level: { type: 'integer', format: 'int32' },
                contact: {
                  anyOf: [
                    { type: 'object', required: ['phone'], properties: { phone: pattern('^[0-9]{6}$') } },
                    { type: 'integer', minimum: 100, maximum: 200 },
                    { type: 'boolean' },
                  ],
                },
              },
            },
          ],
        },
        Tree: {
          type: 'object',
          required: ['name'],
          additionalProperties: false,
          properties: { name: word, branches: listOf(refer('Tree'), { maxItems: 2 }) },
        },
        Device: {
          type: 'object',
          required: ['id', 'name'],
          properties: { id: { ...integer(1, 9), readOnly: true }, name: word, secret: { ...word, writeOnly: true } },
        },
        Subscription: {
          type: 'object',
          required: ['email', 'plan'],
          additionalProperties: false,
          properties: {
            email: { type: 'string', format: 'email' },
            plan: { type: 'string', enum: ['small', 'large'] },
            seats: integer(1, 50),
            trial: { type: 'boolean' },
            topics: listOf(word, { minItems: 2, maxItems: 3 }),
          },
        },
      },
    },
  };
}
