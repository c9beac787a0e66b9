import t from 'tap';
import { findings, openApi, responseFindings, type SentResponse, validationOf } from './validation-of.ts';

const ENFORCE = { body: 'Enforce', undeclaredStatus: 'Enforce', headers: 'Enforce' };

const PATHS = `  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get:
      operationId: read
      responses:
        "200":
          description: the order
          headers:
            X-Rate-Limit: {required: true, schema: {type: integer}}
          content:
            application/json:
              schema:
                type: object
                required: [id, secret]
                additionalProperties: false
                properties:
                  id: {type: integer, readOnly: true}
                  secret: {type: string, writeOnly: true}
                  note: {type: string}
        "204": {description: nothing}
        "4XX": {description: without content}
        "404": {description: text, content: {application/problem+json: {schema: {type: object, required: [title]}}}}
    put:
      responses:
        default: {description: all, content: {application/json: {schema: {type: array}}}}
  /stream:
    get:
      responses:
        "200": {description: events, content: {text/event-stream: {schema: {type: object}}}}
  /file:
    get:
      responses:
        "200": {description: bytes, content: {application/octet-stream: {schema: {type: string, format: binary}}}}
`;

const JSON_TYPE = ['content-type', 'application/json; charset=utf-8', 'x-rate-limit', '7'];

function codes(...args: Parameters<typeof responseFindings>): readonly string[] {
  return responseFindings(...args).map(
    ({ effect, code, facts }) =>
      `${effect} ${code} ${(facts.details ?? []).map(({ in: place, pointer, keyword }) => `${place} ${pointer} ${keyword}`).join()}`,
  );
}

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`${version}: responses are held against what the document declares`, async (t) => {
    const { validation, problems } = await validationOf(openApi(version, PATHS), { response: ENFORCE });
    t.same(
      problems,
      [
        'APISchema shop/schema-0: GET /stream 200 with text/event-stream: paths./stream.get.responses.200.content.text/event-stream.schema: bodies of text/event-stream cannot be held against a schema in this version',
      ],
      'what cannot be judged is told',
    );
    const cases: readonly (readonly [string, SentResponse, readonly string[]])[] = [
      ['GET /orders/1', { headers: JSON_TYPE, body: '{"id":1}' }, []],
      ['GET /orders/1', { headers: JSON_TYPE, body: '{"id":1,"note":"x"}' }, []],
      ['GET /orders/1', { headers: JSON_TYPE, body: '{}' }, ['refuse invalid_response response  required']],
      [
        'GET /orders/1',
        { headers: JSON_TYPE, body: '{"id":1,"secret":"s"}' },
        ['refuse invalid_response response /secret writeOnly'],
      ],
      [
        'GET /orders/1',
        { headers: JSON_TYPE, body: '{"id":1,"x":1}' },
        ['refuse invalid_response response  additionalProperties'],
      ],
      ['GET /orders/1', { headers: JSON_TYPE, body: '{"id":' }, ['refuse invalid_response response  json']],
      ['GET /orders/1', { headers: JSON_TYPE }, ['refuse invalid_response response  required']],
      ['HEAD /orders/1', { headers: JSON_TYPE }, []],
      // RFC 9110 §15.3.6 forbids it to the app; framing does not
      ['PUT /orders/1', { status: 205, headers: JSON_TYPE, body: '{}' }, ['refuse invalid_response response  type']],
      ['PUT /orders/1', { status: 205, headers: JSON_TYPE }, []],
      [
        'GET /orders/1',
        { headers: ['content-type', 'application/json'], body: '{"id":1}' },
        ['refuse invalid_response response /headers/X-Rate-Limit required'],
      ],
      [
        'GET /orders/1',
        { headers: ['content-type', 'application/json', 'X-RATE-LIMIT', 'many'], body: '{"id":1}' },
        ['refuse invalid_response response /headers/X-Rate-Limit type'],
      ],
      [
        'GET /orders/1',
        { headers: ['content-type', 'text/html', 'x-rate-limit', '1'], body: '<p>' },
        ['refuse invalid_response response /headers/content-type contentType'],
      ],
      [
        'GET /orders/1',
        { headers: [...JSON_TYPE, 'content-encoding', 'unknown'], body: 'x' },
        ['refuse invalid_response response /headers/content-type contentType'],
      ],
      ['GET /orders/1', { status: 204, headers: [] }, []],
      [
        'GET /orders/1',
        { status: 201, headers: JSON_TYPE, body: '{}' },
        ['refuse invalid_response response /status status'],
      ],
      [
        'GET /orders/1',
        { status: 404, headers: ['content-type', 'application/problem+json'], body: '{"title":"no"}' },
        [],
      ],
      [
        'GET /orders/1',
        { status: 404, headers: ['content-type', 'application/problem+json'], body: '{}' },
        ['refuse invalid_response response  required'],
      ],
      ['GET /orders/1', { status: 400, headers: ['content-type', 'text/plain'], body: 'any' }, []],
      ['PUT /orders/1', { status: 500, body: '{}' }, ['refuse invalid_response response  type']],
      ['PUT /orders/1', { status: 500, body: '[]' }, []],
      [
        'GET /stream',
        { headers: ['content-type', 'text/event-stream'], body: 'data: 1' },
        ['refuse schema_unavailable '],
      ],
      ['GET /file', { headers: ['content-type', 'application/octet-stream'], body: '\0\0' }, []],
    ];
    for (const [line, sent, expected] of cases)
      t.same(codes(validation, line, sent), expected, `${line} ${JSON.stringify(sent)}`);
  });
}

t.test('each part of a response has a mode of its own, and the policy is above them', async (t) => {
  const invalid = { status: 200, headers: ['content-type', 'application/json'], body: '{}' };
  const effects = async (spec: object, sent: SentResponse = invalid) => {
    const { validation } = await validationOf(openApi('3.1.0', PATHS), spec);
    return responseFindings(validation, 'GET /orders/1', sent).map(({ effect }) => effect);
  };
  t.same(await effects({}), [], 'off by default');
  t.same(await effects({ response: { body: 'Audit' } }), ['audit']);
  t.same(await effects({ response: { body: 'Enforce' } }), ['refuse']);
  t.same(await effects({ response: { headers: 'Audit', body: 'Enforce' } }), ['audit', 'refuse']);
  t.same(await effects({ response: { undeclaredStatus: 'Enforce' } }), []);
  t.same(await effects({ response: { undeclaredStatus: 'Enforce' } }, { status: 302 }), ['refuse']);
  t.same(await effects({ mode: 'Audit', response: ENFORCE }), ['audit', 'audit']);
});

t.test('an override changes one operation', async (t) => {
  const spec = {
    mode: 'Audit',
    overrides: [
      { operationId: 'read', response: { body: 'Audit' } },
      { path: '/orders/{order}', method: 'PUT', mode: 'Enforce', response: ENFORCE },
      { path: '/nowhere', mode: 'Enforce' },
    ],
  };
  const { validation, problems } = await validationOf(openApi('3.1.0', PATHS), spec);
  t.match(problems, [/event-stream/, /no operation is \/nowhere$/]);
  t.same(codes(validation, 'GET /orders/1', { headers: JSON_TYPE, body: '{}' }), [
    'audit invalid_response response  required',
  ]);
  t.same(codes(validation, 'PUT /orders/1', { body: '{}' }), ['refuse invalid_response response  type']);
  t.same(
    codes(validation, 'GET /file', { headers: ['content-type', 'text/html'], body: 'x' }),
    [],
    'no other operation is judged',
  );
  t.same(
    findings(validation, 'GET /orders/x', { headers: [] }).map(({ effect }) => effect),
    ['audit'],
  );
  t.same(
    findings(validation, 'PUT /orders/x', { headers: [] }).map(({ effect }) => effect),
    ['refuse'],
    'the mode is of the operation',
  );
});

t.test('of the headers of a response only Content-Type is said elsewhere', async (t) => {
  const limit = '{schema: {type: string, maxLength: 1}}';
  const text = openApi(
    '3.1.0',
    `  /a: {get: {responses: {"200": {headers: {Accept: ${limit}, Authorization: ${limit}, Content-Type: ${limit}}}}}}\n`,
  );
  const { validation } = await validationOf(text, { response: { headers: 'Enforce' } });
  const judge = (name: string) => responseFindings(validation, 'GET /a', { headers: [name, 'ab'] }).length;
  t.same(['accept', 'Authorization', 'content-type'].map(judge), [1, 1, 0]);
});

t.test('each Set-Cookie is held against its declaration by itself', async (t) => {
  const headers = '{Set-Cookie: {schema: {type: string, pattern: "^[a-z]+="}}, X-A: {schema: {type: string}}}';
  const paths = `  /a:\n    get: {responses: {"200": {description: a, headers: ${headers}}}}\n`;
  const { validation } = await validationOf(openApi('3.1.0', paths), { response: { headers: 'Enforce' } });
  const judge = (...headers: readonly string[]) =>
    responseFindings(validation, 'GET /a', { headers }).map(({ reason }) => reason);
  t.same(judge('set-cookie', 'a=1; expires=Mon, 1', 'Set-Cookie', 'b=2'), []);
  t.match(judge('set-cookie', 'a=1', 'set-cookie', '2'), [/Set-Cookie: must match pattern/]);
  t.match(judge('x-a', '1', 'x-a', '2'), [/X-A: is given more than once/]);
});
