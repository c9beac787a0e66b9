import fc from 'fast-check';
import t from 'tap';
import { decodeFormText, parseForm } from '#policy/validation/decode/parse-form.ts';
import { FieldOwners, takeStyled } from '#policy/validation/decode/styled-values.ts';
import { checkOpenApiDocument } from '#policy/validation/openapi/check-openapi-document.ts';
import { compileDocument } from '#policy/validation/openapi/compile-document.ts';
import { readDocumentText } from '#policy/validation/openapi/openapi-text.ts';
import { reduceDocument } from '#policy/validation/openapi/reduce-document.ts';
import { findings, openApi, validationOf } from './validation-of.ts';

const FORM = 'application/x-www-form-urlencoded';
const RGB = '{type: object, properties: {R: {type: integer}, G: {type: integer}, B: {type: integer}}}';
const WORDS = '{type: array, items: {type: string}}';

/** A body of one type: the schemas of its properties, their encodings, and what else its schema says; flow style. */
function bodyOf(version: string, type: string, properties: string, encoding: string, more = ''): string {
  return openApi(
    version,
    `  /a:
    post:
      requestBody:
        content:
          ${type}:
            schema: {type: object, ${more}properties: {${properties}}}
            encoding: {${encoding}}
`,
  );
}

async function formJudge(version: string, properties: string, encoding: string, more = '') {
  const { validation, problems } = await validationOf(bodyOf(version, FORM, properties, encoding, more));
  return {
    problems,
    judge: (body: string) => {
      const [found] = findings(validation, 'POST /a', { headers: ['content-type', FORM], body });
      return found === undefined ? 'allowed' : `${found.code} ${found.facts.details?.[0]?.pointer ?? ''}`;
    },
  };
}

/** The examples of OpenAPI 3.0.4 §4.7.12.4 and 3.1.1 §4.8.12.5, by the value that each stands for. */
const EXAMPLES: readonly (readonly [string, string, string, string])[] = [
  [WORDS, 'style: form, explode: false', '["blue", "black", "brown"]', 'color=blue,black,brown'],
  [WORDS, 'style: form', '["blue", "black", "brown"]', 'color=blue&color=black&color=brown'],
  [WORDS, 'allowReserved: true', '["blue/", "bl?ck"]', 'color=blue/&color=bl?ck'],
  [WORDS, 'style: spaceDelimited', '["blue", "black", "brown"]', 'color=blue%20black%20brown'],
  [WORDS, 'style: spaceDelimited', '["blue", "black", "brown"]', 'color=blue+black+brown'],
  [WORDS, 'style: pipeDelimited', '["blue", "black", "brown"]', 'color=blue%7Cblack%7Cbrown'],
  [WORDS, 'explode: false', '["a,b", "c d"]', 'color=a%2Cb,c+d'],
  [RGB, 'style: form, explode: false', '{R: 100, G: 200, B: 150}', 'color=R,100,G,200,B,150'],
  [RGB, 'style: form, explode: true', '{R: 100, G: 200, B: 150}', 'R=100&G=200&B=150'],
  [RGB, 'style: spaceDelimited', '{R: 100, G: 200, B: 150}', 'color=R%20100%20G%20200%20B%20150'],
  [RGB, 'style: pipeDelimited', '{R: 100, G: 200, B: 150}', 'color=R%7C100%7CG%7C200%7CB%7C150'],
  [
    RGB,
    'style: deepObject, explode: true',
    '{R: 100, G: 200, B: 150}',
    'color%5BR%5D=100&color%5BG%5D=200&color[B]=150',
  ],
  [RGB, 'contentType: application/json', '{R: 100, G: 200, B: 150}', 'color=%7B%22R%22:100,%22G%22:200,%22B%22:150%7D'],
  ['{type: string}', 'contentType: application/json', '"json"', 'color=%22json%22'],
  [RGB, 'style: form, contentType: application/json', '{R: 100, G: 200, B: 150}', 'R=100&G=200&B=150'],
  ['{type: integer}', 'style: form', '7', 'color=7'],
  ['{type: string, format: byte}', 'contentType: "image/png, image/jpeg"', 'iVBO/RA=', 'color=iVBO%2FRA%3D'],
];

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`${version}: a property of a form is read as its encoding says`, async (t) => {
    for (const [schema, encoding, value, body] of EXAMPLES) {
      const only = `required: [color, n], additionalProperties: false, enum: [{color: ${value}, n: 1}], `;
      const { judge, problems } = await formJudge(
        version,
        `n: {type: integer}, color: ${schema}`,
        `color: {${encoding}}`,
        only,
      );
      t.same(problems, [], encoding);
      t.equal(judge(`${body}&n=1`), 'allowed', `${encoding} ${body}`);
      t.equal(judge(`n=1&${body}`), 'allowed', `${encoding} ${body}`);
      t.equal(judge('n=1'), 'invalid_body ', 'required');
    }
  });
}

t.test('an object without an encoding is JSON where the specification says so, else its form is refused', async (t) => {
  for (const version of ['3.0.4', '3.1.1', '3.1.2']) {
    const { judge, problems } = await formJudge(version, `id: {type: string}, at: ${RGB}`, '');
    t.same(problems, []);
    t.equal(judge('id=a&at=%7B%22R%22%3A+1%7D'), 'allowed', version);
    t.equal(judge('id=a&at=%7B%22R%22%3A%22x%22%7D'), 'invalid_body /at/R', version);
    t.equal(judge('at=R,1'), 'malformed_body /at', version);
    t.equal(judge('at=%7B%7D&at=%7B%7D'), 'malformed_body /at', version);
    t.equal(judge('at=%7B%22R%22:1,%22R%22:2%7D'), 'malformed_body /at', 'strict JSON, as everywhere');
  }
  for (const version of ['3.0.3', '3.1.0']) {
    const { problems } = await formJudge(version, `at: ${RGB}`, '');
    t.match(problems, [
      /property at: how an object is written in a form is not defined before OpenAPI 3.0.4 and 3.1.1/,
    ]);
  }
});

t.test('a form that could be read in two ways is malformed', async (t) => {
  const { judge } = await formJudge(
    '3.1.0',
    `deep: ${RGB}, flat: {type: object, properties: {x: {type: integer}}}, list: ${WORDS}, pairs: ${RGB}`,
    'deep: {style: deepObject}, flat: {style: form}, list: {explode: false}, pairs: {explode: false}',
  );
  const cases: readonly (readonly [string, string])[] = [
    ['deep[R]=1&x=2&list=a,b&pairs=R,1&other=1', 'allowed'],
    ['deep=1', 'malformed_body /deep'],
    ['deep[R]=1&deep=1', 'malformed_body /deep'],
    ['deep[R][x]=1', 'malformed_body /deep'],
    ['deep[R', 'malformed_body /deep'],
    ['deep[]=1', 'malformed_body /deep'],
    ['deep[R]=1&deep[R]=2', 'malformed_body /deep'],
    ['deep[R]=x', 'invalid_body /deep/R'],
    ['flat=1', 'malformed_body /flat'],
    ['flat=1&x=1', 'malformed_body /flat'],
    ['x=1&x=2', 'malformed_body /flat'],
    ['x=a', 'invalid_body /flat/x'],
    ['list=a&list=b', 'malformed_body /list'],
    ['list=%zz', 'malformed_body /list'],
    ['pairs=R,1,G', 'malformed_body /pairs'],
    ['pairs=R,1,R,2', 'malformed_body /pairs'],
    ['pairs=R,x', 'invalid_body /pairs/R'],
    ['deep[__proto__]=1&x=1', 'allowed'],
  ];
  for (const [body, expected] of cases) t.equal(judge(body), expected, body);
});

t.test('what the specification leaves open is refused where it stands', async (t) => {
  const open = '{type: object, additionalProperties: {type: string}}';
  const nested = '{type: object, properties: {a: {type: object, properties: {}}}}';
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [`a: ${WORDS}`, 'a: {style: deepObject}', /style deepObject is for objects only/],
    [`a: ${RGB}`, 'a: {style: spaceDelimited, explode: true}', /needs explode: false/],
    ['a: {type: string}', 'a: {style: pipeDelimited}', /for lists and objects only/],
    [`a: ${nested}`, 'a: {style: deepObject}', /an object within an object/],
    [`a: ${open}`, 'a: {style: form}', /takes any name cannot be spread/],
    ['a: {type: string}', 'a: {style: matrix}', /style matrix in query is not supported/],
    ['a: {type: string}', 'b: {style: form}', /encoding of b, which is no property/],
    [`a: ${WORDS}`, 'a: {contentType: application/json}', /whether a list of JSON is one text or one an item/],
    [`a: ${RGB}`, 'a: {contentType: application/xml}', /property a: a field of application\/xml cannot be held/],
    ['a: {type: string}', 'a: {contentType: "text/plain, application/json"}', /cannot be held against a schema/],
    ['a: {type: [integer, string]}', 'a: {style: form}', /alternatives of types/],
    [`a: ${RGB}, R: {type: string}`, 'a: {style: form}', /two properties are written as R/],
    [`a: ${RGB}, b: ${RGB}`, 'a: {style: form}, b: {style: form}', /two properties are written as R/],
    [`a: ${RGB}, "a[R]": {type: string}`, 'a: {style: deepObject}', /two properties are written as a\[R\]/],
    ['a: {type: string}', 'a: {explode: maybe}', /expected true or false/],
    ['a: {type: string}', 'a: 7', /expected an encoding object/],
  ];
  for (const [properties, encoding, reason] of cases) {
    const found = checkOpenApiDocument(bodyOf('3.1.0', FORM, properties, encoding));
    t.match(found, [{ severity: 'warning', code: 'schema_unavailable', message: reason }], encoding);
    t.ok(
      found.every(({ line }) => line >= 9 && line <= 10),
      encoding,
    );
  }
});

t.test('the properties of a form stand wherever its schema says', async (t) => {
  const text = `${openApi(
    '3.1.0',
    `  /a:
    post:
      requestBody:
        content:
          ${FORM}:
            schema: {allOf: [{$ref: "#/components/schemas/Base"}, {properties: {list: ${WORDS}, n: {type: integer}}}]}
            encoding: {list: {explode: false}, at: {style: deepObject}}
`,
  )}components: {schemas: {Base: {type: object, required: [at], properties: {at: {$ref: "#/components/schemas/At"}}}, At: ${RGB}}}\n`;
  const { validation, problems } = await validationOf(text);
  t.same(problems, []);
  const judge = (body: string) => findings(validation, 'POST /a', { headers: ['content-type', FORM], body })[0]?.code;
  t.equal(judge('list=a,b&n=1&at[R]=1'), undefined);
  t.equal(judge('list=a,b&n=1'), 'invalid_body');
  t.equal(judge('n=x&at[R]=1'), 'invalid_body');
  t.equal(judge('at[R]=x'), 'invalid_body');
});

t.test('how a style writes a file is not defined', async (t) => {
  const text = (schema: string) => bodyOf('3.1.0', 'multipart/form-data', `file: ${schema}`, 'file: {style: form}');
  for (const schema of ['{type: string, format: binary}', '{contentMediaType: image/png}']) {
    t.match(checkOpenApiDocument(text(schema)), [
      { line: 9, message: /how a style writes binary content is not defined/ },
    ]);
  }
  t.same(checkOpenApiDocument(text('{type: string}')), []);
});

/** RFC 6570 §3.2.8 and the styles that OpenAPI adds, written from the specification alone: undecoded pairs of a form. */
function pairsOf(name: string, style: string, explode: boolean, value: unknown): readonly string[] {
  const text = (one: unknown) =>
    encodeURIComponent(String(one)).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  const delimiter = new Map([
    ['spaceDelimited', '%20'],
    ['pipeDelimited', '%7C'],
  ]);
  if (Array.isArray(value)) {
    if (explode) return value.map((item) => `${text(name)}=${text(item)}`);
    return value.length === 0 ? [] : [`${text(name)}=${value.map(text).join(delimiter.get(style) ?? ',')}`];
  }
  if (typeof value !== 'object' || value === null) return [`${text(name)}=${text(value)}`];
  const entries = Object.entries(value);
  if (style === 'deepObject') return entries.map(([key, one]) => `${text(name)}[${text(key)}]=${text(one)}`);
  if (explode) return entries.map(([key, one]) => `${text(key)}=${text(one)}`);
  return [
    `${text(name)}=${entries.map(([key, one]) => `${text(key)}${delimiter.get(style) ?? ','}${text(one)}`).join(delimiter.get(style) ?? ',')}`,
  ];
}

t.test('any value that another program writes is read as it was', async (t) => {
  const word = fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' }).filter((text) => text.isWellFormed());
  const bare = word.filter((text) => !/[ |]/.test(text));
  const object = (strings: fc.Arbitrary<string>) =>
    fc.record(
      { s: strings, i: fc.integer(), b: fc.boolean(), d: fc.double({ noNaN: true, noDefaultInfinity: true }) },
      { requiredKeys: ['s'] },
    );
  const kinds: readonly (readonly [string, boolean, fc.Arbitrary<unknown>])[] = [
    ['form', true, fc.array(word, { minLength: 1 })],
    ['form', false, fc.array(word, { minLength: 1 })],
    ['spaceDelimited', false, fc.array(bare, { minLength: 1 })],
    ['pipeDelimited', false, fc.array(bare, { minLength: 1 })],
    ['form', true, object(word)],
    ['form', false, object(word)],
    ['spaceDelimited', false, object(bare)],
    ['pipeDelimited', false, object(bare)],
    ['deepObject', true, object(word)],
  ];
  for (const [style, explode, values] of kinds) {
    const isList = Array.isArray(fc.sample(values, 1)[0]);
    const schema = isList
      ? WORDS
      : '{type: object, properties: {s: {type: string}, i: {type: integer}, b: {type: boolean}, d: {type: number}}}';
    const { operations } = compileDocument(
      bodyOf('3.1.0', FORM, `v: ${schema}`, `v: {style: ${style}, explode: ${explode}}`),
    );
    const owners = new FieldOwners(operations[0]?.body?.contents[0]?.form?.styled ?? []);
    fc.assert(
      fc.property(values, (value) => {
        const fields = new Map<string, string[]>();
        for (const { name = '', raw = '' } of parseForm(pairsOf('v', style, explode, value).join('&')) ?? [])
          fields.set(name, [...(fields.get(name) ?? []), raw]);
        const json = { maxDepth: 8, inexactIntegers: 'Allow' } as never;
        const read = takeStyled(owners, fields, { decode: decodeFormText, json });
        // Numbers go through text: -0 is 0 to a reader of JSON.
        t.strictSame('values' in read ? read.values : read, [['v', JSON.parse(JSON.stringify(value))]]);
      }),
      { numRuns: 60, seed: 20_263 },
    );
  }
});

/** What `fetch` sends of a form. */
async function sent(form: FormData): Promise<{ readonly headers: readonly string[]; readonly body: Buffer }> {
  const response = new Response(form);
  const headers = ['content-type', response.headers.get('content-type') ?? ''];
  return { headers, body: Buffer.from(await response.arrayBuffer()) };
}

t.test('3.1: parts are written by styles, without percent-encoding', async (t) => {
  const properties = `words: ${WORDS}, pipes: ${WORDS}, spaces: ${WORDS}, each: ${WORDS}, deep: ${RGB}, flat: {type: object, properties: {x: {type: integer}}}, n: {type: integer}`;
  const encoding = `words: {explode: false}, pipes: {style: pipeDelimited}, spaces: {style: spaceDelimited}, each: {style: form, contentType: image/png}, deep: {style: deepObject}, flat: {style: form}`;
  const value =
    '{words: [a%2C, ä], pipes: [a, b], spaces: [a+b, c], each: ["1,2", "3"], deep: {R: 1, G: 2}, flat: {x: 3}, n: 4}';
  const only = `enum: [${value}], additionalProperties: false, `;
  const { validation, problems } = await validationOf(
    bodyOf('3.1.0', 'multipart/form-data', properties, encoding, only),
  );
  t.same(problems, []);
  const pairs = [
    ...[
      ['words', 'a%2C,ä'],
      ['pipes', 'a|b'],
      ['spaces', 'a+b c'],
      ['each', '1,2'],
      ['each', '3'],
    ],
    ...[
      ['deep[R]', '1'],
      ['deep[G]', '2'],
      ['x', '3'],
      ['n', '4'],
    ],
  ] as const;
  const judge = async (...more: readonly (readonly [string, string | Blob])[]) => {
    const form = new FormData();
    for (const [name = '', text = ''] of [...pairs, ...more]) form.append(name, text as string);
    const [found] = findings(validation, 'POST /a', await sent(form));
    return found === undefined ? 'allowed' : `${found.code} ${found.facts.details?.[0]?.pointer}`;
  };
  t.equal(await judge(), 'allowed');
  t.equal(await judge(['flat', '1']), 'malformed_body /flat');
  t.equal(await judge(['x', '1']), 'malformed_body /flat');
  t.equal(await judge(['deep[R]', '1']), 'malformed_body /deep');
  t.equal(await judge(['each', '4']), 'invalid_body ');
  t.equal(await judge(['words', 'b']), 'malformed_body /words');
  t.equal(
    await judge(['each', new Blob(['4'], { type: 'image/png' })]),
    'malformed_body /each',
    'contentType is ignored',
  );
});

t.test('3.0: styles of parts are ignored, as the specification says', async (t) => {
  const text = bodyOf(
    '3.0.3',
    'multipart/form-data',
    `words: ${WORDS}`,
    'words: {style: pipeDelimited, explode: false}',
    'enum: [{words: [a|b, c]}], ',
  );
  const { validation, problems } = await validationOf(text);
  t.same(problems, []);
  const form = new FormData();
  for (const word of ['a|b', 'c']) form.append('words', word);
  t.same(findings(validation, 'POST /a', await sent(form)), []);
});

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`${version}: the header fields of parts are held against their declarations`, async (t) => {
    const limit = 'X-Limit: {required: true, schema: {type: integer, maximum: 9}}';
    const headers = `headers: {${limit}, x-tags: {$ref: "#/components/headers/Tags"}, Content-Type: {required: true, schema: {type: integer}}, Authorization: {schema: {maxLength: 2}}}`;
    const text = `${bodyOf(
      version,
      'multipart/form-data',
      'photo: {type: string, format: binary}, docs: {type: array, items: {type: string}}, n: {type: integer}',
      `photo: {contentType: image/png, ${headers}}, docs: {headers: {${limit}}}`,
    )}components: {headers: {Tags: {schema: {type: array, items: {type: string, maxLength: 3}}}}}\n`;
    const { validation, problems } = await validationOf(text);
    t.same(problems, []);
    const reduced = JSON.stringify(reduceDocument(readDocumentText(text).value));
    t.strictSame(compileDocument(reduced), compileDocument(text), 'what sidecars get says the same');
    const part = (name: string, ...lines: readonly string[]) =>
      `--B\r\n${[`Content-Disposition: form-data; name="${name}"`, ...lines].join('\r\n')}\r\n\r\n7\r\n`;
    const judge = (...parts: readonly string[]) => {
      const body = `${parts.join('')}--B--`;
      const [found] = findings(validation, 'POST /a', {
        headers: ['content-type', 'multipart/form-data; boundary=B'],
        body,
      });
      const [detail] = found?.facts.details ?? [];
      return found === undefined ? 'allowed' : `${found.code} ${detail?.pointer}: ${detail?.message}`;
    };
    t.equal(judge(part('n')), 'allowed', 'required of a part, not that there is one');
    t.equal(judge(part('photo', 'x-limit: 9', 'X-Tags: a , bcd', 'X-Other: 1')), 'allowed');
    t.equal(judge(part('photo')), 'invalid_body /photo: header X-Limit is missing');
    t.match(judge(part('photo', 'X-Limit: 10')), /^invalid_body \/photo: header X-Limit must be <= 9/);
    t.match(
      judge(part('photo', 'X-Limit: 1', 'X-Tags: abcd')),
      /^invalid_body \/photo: header x-tags.* must NOT have more/,
    );
    t.match(judge(part('photo', 'X-Limit: 1', 'Authorization: abc')), /^invalid_body \/photo: header Authorization/);
    t.match(
      judge(part('docs', 'X-Limit: 1'), part('docs', 'X-Limit: x')),
      /^invalid_body \/docs\/1: header X-Limit must be integer/,
    );
    t.match(judge(part('docs', 'X-Limit: 1', 'x-limit: 2')), /^malformed_body .*two x-limit/);
  });
}

t.test('headers of parts that cannot be checked are told, and their bodies refused', async (t) => {
  const text = bodyOf(
    '3.1.0',
    'multipart/form-data',
    'a: {type: string}',
    'a: {headers: {X-A: {schema: {maxLength: -1}}}}',
  );
  t.match(checkOpenApiDocument(text), [
    {
      line: 10,
      code: 'schema_unavailable',
      message: /^POST \/a with multipart\/form-data is refused: maxLength must be/,
    },
  ]);
  const { validation } = await validationOf(text);
  const [found] = findings(validation, 'POST /a', {
    headers: ['content-type', 'multipart/form-data; boundary=B'],
    body: '--B--',
  });
  t.equal(found?.code, 'schema_unavailable');
});

t.test('the cost of a form does not grow with the number of styled properties times its fields', async (t) => {
  const names = Array.from({ length: 1_500 }, (_, index) => `p${index}`);
  const properties = names.map((name) => `${name}: {type: object, properties: {}}`).join(', ');
  const encoding = names.map((name) => `${name}: {style: deepObject}`).join(', ');
  const { judge } = await formJudge('3.1.0', properties, encoding);
  const body = Array.from({ length: 1_990 }, (_, index) => `q${index}[x]=1`).join('&');
  const times = Array.from({ length: 5 }, () => {
    const startedAt = performance.now();
    t.equal(judge(body), 'allowed');
    return performance.now() - startedAt;
  });
  // Holding each field against each property, 3,000,000 comparisons, takes 50 ms; this takes 5.
  t.ok(Math.min(...times) < 25);
});
