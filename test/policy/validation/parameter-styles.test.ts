import fc from 'fast-check';
import t from 'tap';
import { codeOf, findings, openApi, validationOf } from './validation-of.ts';

/** Values as a client writes them: RFC 6570, by the table of OpenAPI 3.1 §4.8.12.6, independently of what reads them. */
type Value = number | readonly number[] | { readonly [name: string]: number };

interface Case {
  readonly place: 'path' | 'query' | 'header' | 'cookie';
  readonly style: string;
  readonly explode: boolean;
  write(name: string, value: Value): string;
}

const isList = (value: Value): value is readonly number[] => Array.isArray(value);
const pairs = (value: object, equals: string, comma: string) =>
  Object.entries(value)
    .map(([key, item]) => `${key}${equals}${item}`)
    .join(comma);

function joined(value: Value, comma: string, isExploded: boolean): string {
  if (typeof value === 'number') return String(value);
  return isList(value) ? value.join(comma) : pairs(value, isExploded ? '=' : comma, comma);
}

const CASES: readonly Case[] = [true, false].flatMap((explode): readonly Case[] => [
  { place: 'path', style: 'simple', explode, write: (_, value) => joined(value, ',', explode) },
  { place: 'header', style: 'simple', explode, write: (_, value) => joined(value, ',', explode) },
  { place: 'path', style: 'label', explode, write: (_, value) => `.${joined(value, explode ? '.' : ',', explode)}` },
  {
    place: 'path',
    style: 'matrix',
    explode,
    write(name, value) {
      if (explode && isList(value)) return value.map((item) => `;${name}=${item}`).join('');
      if (explode && typeof value === 'object') return `;${pairs(value, '=', ';')}`;
      return `;${name}=${joined(value, ',', false)}`;
    },
  },
  {
    place: 'query',
    style: 'form',
    explode,
    write(name, value) {
      if (explode && isList(value)) return value.map((item) => `${name}=${item}`).join('&');
      if (explode && typeof value === 'object') return pairs(value, '=', '&');
      return `${name}=${joined(value, ',', false)}`;
    },
  },
]);
const DELIMITED: readonly Case[] = [
  {
    place: 'query',
    style: 'spaceDelimited',
    explode: false,
    write: (name, value) => `${name}=${joined(value, '%20', false)}`,
  },
  {
    place: 'query',
    style: 'pipeDelimited',
    explode: false,
    write: (name, value) => `${name}=${joined(value, '%7C', false)}`,
  },
  { place: 'cookie', style: 'form', explode: false, write: (name, value) => `${name}=${joined(value, ',', false)}` },
];
const DEEP: Case = {
  place: 'query',
  style: 'deepObject',
  explode: true,
  write: (name, value) =>
    Object.entries(value)
      .map(([key, item]) => `${name}%5B${key}%5D=${item}`)
      .join('&'),
};

const numbers = fc.integer({ min: -999, max: 999 });
const VALUES = {
  integer: numbers,
  array: fc.array(numbers, { minLength: 1, maxLength: 5 }),
  object: fc.record({ a: numbers, b: numbers }),
} as const;
const SCHEMAS = {
  integer: { type: 'integer', minimum: -500, maximum: 500 },
  array: { type: 'array', items: { type: 'integer', minimum: -500, maximum: 500 } },
  object: {
    type: 'object',
    required: ['a', 'b'],
    additionalProperties: false,
    properties: {
      a: { type: 'integer', minimum: -500, maximum: 500 },
      b: { type: 'integer', minimum: -500, maximum: 500 },
    },
  },
} as const;

function isWithin(value: Value): boolean {
  return [value]
    .flatMap((whole) => (typeof whole === 'number' ? whole : Object.values(whole)))
    .every((item) => Math.abs(item) <= 500);
}

function codeFor(validation: Parameters<typeof codeOf>[0], { place, write }: Case, value: Value): string {
  const text = write('p', value);
  if (place === 'path') return codeOf(validation, `GET /a/${text}`, { headers: [] });
  if (place === 'query') return codeOf(validation, `GET /a?${text}`, { headers: [] });
  return codeOf(validation, 'GET /a', { headers: place === 'header' ? ['p', text] : ['cookie', text] });
}

for (const one of [...CASES, ...DELIMITED, DEEP]) {
  for (const kind of ['integer', 'array', 'object'] as const) {
    const { place, style, explode } = one;
    if (kind === 'integer' && [...DELIMITED.slice(0, 2), DEEP].includes(one)) continue;
    if (kind === 'array' && one === DEEP) continue;
    t.test(
      `${place} ${style} ${explode ? 'exploded ' : ''}${kind}: what a client writes is what is judged`,
      async (t) => {
        const parameter = { name: 'p', in: place, style, explode, required: true, schema: SCHEMAS[kind] };
        const path = place === 'path' ? '/a/{p}' : '/a';
        const paths = `  ${path}: ${JSON.stringify({ get: { parameters: [parameter] } })}\n`;
        const { validation, problems } = await validationOf(openApi('3.1.0', paths));
        t.same(problems, []);
        fc.assert(
          fc.property(VALUES[kind], (value: Value) => {
            const code = codeFor(validation, one, value);
            const wanted = isWithin(value) ? 'allowed' : 'invalid_parameter';
            if (code !== wanted) throw new Error(`${one.write('p', value)}: ${code}, not ${wanted}`);
          }),
        );
        if (style === 'label' || style === 'matrix') {
          t.equal(codeOf(validation, 'GET /a/5', { headers: [] }), 'invalid_parameter', 'the prefix is needed');
          t.equal(codeOf(validation, 'GET /a/;q=5', { headers: [] }), 'invalid_parameter');
        }
      },
    );
  }
}

t.test('alternatives of a list and a text are tried in their order', async (t) => {
  const schema = {
    oneOf: [
      { type: 'string', enum: ['all'] },
      { type: 'array', items: { type: 'integer' } },
    ],
  };
  const parameters = [
    { name: 'ids', in: 'query', schema },
    { name: 'x-ids', in: 'header', schema },
  ];
  const { validation, problems } = await validationOf(
    openApi('3.1.0', `  /a: ${JSON.stringify({ get: { parameters } })}\n`),
  );
  t.same(problems, []);
  const code = (query: string, ...headers: string[]) => codeOf(validation, `GET /a?${query}`, { headers });
  t.equal(code('ids=all'), 'allowed');
  t.equal(code('ids=1&ids=2'), 'allowed');
  t.equal(code('ids=some'), 'invalid_parameter');
  t.equal(code('ids=1&ids=x'), 'invalid_parameter');
  t.equal(code('', 'x-ids', '1, 2'), 'allowed');
  t.equal(code('', 'x-ids', 'all'), 'allowed');
  t.equal(code('', 'x-ids', 'any'), 'invalid_parameter');
  const spread = [
    { name: 'f', in: 'query', schema: { oneOf: [{ type: 'string' }, { type: 'object', properties: { a: {} } }] } },
  ];
  const refused = await validationOf(openApi('3.1.0', `  /a: ${JSON.stringify({ get: { parameters: spread } })}\n`));
  t.match(refused.problems, [/an object spread over the query cannot have alternatives/]);
  t.equal(findings(refused.validation, 'GET /a', { headers: [] })[0]?.code, 'schema_unavailable');
});

t.test('a parameter of text/plain is its text', async (t) => {
  const parameters = [
    { name: 'p', in: 'query', content: { 'text/plain': { schema: { type: 'string', maxLength: 3 } } } },
  ];
  const { validation } = await validationOf(openApi('3.1.0', `  /a: ${JSON.stringify({ get: { parameters } })}\n`));
  t.equal(codeOf(validation, 'GET /a?p=a,b', { headers: [] }), 'allowed');
  t.equal(codeOf(validation, 'GET /a?p=a,bc', { headers: [] }), 'invalid_parameter');
});
