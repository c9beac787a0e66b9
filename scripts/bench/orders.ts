/** What the benches of validation send, and the description that it is held against. */

const ITEM = {
  type: 'object',
  required: ['sku', 'quantity'],
  additionalProperties: false,
  properties: {
    sku: { type: 'string', pattern: '^[a-z0-9-]{1,40}$' },
    quantity: { type: 'integer', minimum: 1, maximum: 1000 },
    price: { type: 'number', minimum: 0 },
    note: { type: 'string', maxLength: 200 },
  },
};

/** A description of so many paths, `/orders-0/{id}` and on, each of which takes orders. */
export function ordersApi(operations: number): object {
  const schema = { type: 'object', required: ['items'], properties: { items: { type: 'array', items: ITEM } } };
  const parameters = [
    { name: 'id', in: 'path', required: true, schema: { type: 'integer' } },
    { name: 'page', in: 'query', schema: { type: 'integer', minimum: 1 } },
  ];
  const requestBody = { required: true, content: { 'application/json': { schema } } };
  const paths = Object.fromEntries(
    Array.from({ length: operations }, (_, index) => [
      `/orders-${index}/{id}`,
      { parameters, get: {}, post: { requestBody } },
    ]),
  );
  return { openapi: '3.1.0', info: { title: 'bench', version: '1' }, paths };
}

/** Orders of about so many bytes of JSON. */
export function ordersOf(bytes: number): Buffer {
  const items = [];
  for (let length = 0; length < bytes - 20; length += JSON.stringify(items.at(-1)).length + 1) {
    items.push({
      sku: `sku-${items.length}`,
      quantity: 1 + (items.length % 900),
      price: 12.5,
      note: 'as ordered by mail',
    });
  }
  return Buffer.from(JSON.stringify({ items }));
}

export function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[values.length >> 1] ?? Number.NaN;
}
