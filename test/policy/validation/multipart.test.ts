import http from 'node:http';
import fc from 'fast-check';
import t from 'tap';
import { boundaryOf } from '#policy/validation/decode/media-type.ts';
import { parseMultipart } from '#policy/validation/decode/parse-multipart.ts';
import { listen, portOf } from '../../support/free-ports.ts';
import { runCommand } from '../../support/run-command.ts';
import { codeOf, findings, openApi, validationOf } from './validation-of.ts';

const PATHS = `  /a:
    post:
      requestBody:
        required: true
        content:
          multipart/form-data:
            encoding: {photo: {contentType: "image/png, image/jpeg"}}
            schema:
              type: object
              required: [id, meta]
              additionalProperties: false
              properties:
                id: {type: integer, minimum: 1}
                meta: {type: object, required: [name], properties: {name: {type: string}}}
                tags: {type: array, items: {type: string, maxLength: 3}}
                file: {type: string, format: binary}
                photo: {type: string, format: binary}
`;

interface Sent {
  readonly name: string;
  readonly text: string;
  readonly type?: string;
  readonly filename?: string;
}

function body(parts: readonly Sent[]): string {
  const written = parts.map(({ name, text, type, filename }) => {
    const file = filename === undefined ? '' : `; filename="${filename}"`;
    return `--B\r\nContent-Disposition: form-data; name="${name}"${file}\r\n${type === undefined ? '' : `Content-Type: ${type}\r\n`}\r\n${text}\r\n`;
  });
  return `${written.join('')}--B--\r\n`;
}

const headers = ['content-type', 'multipart/form-data; boundary=B'];
const ID = { name: 'id', text: '7' };
const META = { name: 'meta', text: '{"name":"a"}' };

for (const version of ['3.0.3', '3.1.0']) {
  t.test(`${version}: the parts of a form are held against its schema`, async (t) => {
    const { validation, problems } = await validationOf(openApi(version, PATHS));
    t.same(problems, []);
    const judge = (...parts: readonly Sent[]) => {
      const [finding] = findings(validation, 'POST /a', { headers, body: body(parts) });
      return finding === undefined ? 'allowed' : `${finding.code} ${finding.facts.details?.[0]?.pointer}`;
    };
    const png = { name: 'photo', text: '\x89PNG', type: 'image/png', filename: 'a.png' };
    t.equal(judge(ID, META), 'allowed');
    t.equal(
      judge(ID, { ...META, type: 'application/json' }, png, { ...png, name: 'file', type: 'text/csv' }),
      'allowed',
    );
    t.equal(judge(ID, META, { name: 'tags', text: 'abc' }, { name: 'tags', text: 'de' }), 'allowed');
    t.equal(judge(META), 'invalid_body ');
    t.equal(judge({ ...ID, text: 'x' }, META), 'invalid_body /id');
    t.equal(judge({ ...ID, text: '0' }, META), 'invalid_body /id');
    t.equal(judge(ID, { ...META, text: '{}' }), 'invalid_body /meta');
    t.equal(judge(ID, { ...META, text: '{' }), 'malformed_body /meta');
    t.equal(judge(ID, { ...META, type: 'text/html' }), 'malformed_body /meta');
    t.equal(judge(ID, META, { name: 'tags', text: 'abcd' }), 'invalid_body /tags/0');
    t.equal(judge(ID, META, { ...png, type: 'image/svg+xml' }), 'malformed_body /photo');
    t.equal(judge(ID, META, { name: 'admin', text: '1' }), 'invalid_body ');
    t.equal(judge(ID, ID, META), 'malformed_body /id', 'a name twice');
    t.equal(judge(ID, META, { ...ID, name: 'file', type: 'multipart/mixed; boundary=C' }), 'malformed_body /file');
    t.equal(
      codeOf(validation, 'POST /a', { headers: ['content-type', 'multipart/form-data'], body: 'x' }),
      'unsupported_media_type',
    );
  });
}

t.test('what two programs could read in two ways is malformed', async (t) => {
  const part = 'Content-Disposition: form-data; name="id"\r\n\r\n7';
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['a preamble', `hello\r\n--B\r\n${part}\r\n--B--`, /does not begin/],
    ['an epilogue', `--B\r\n${part}\r\n--B--\r\nmore`, /behind its last boundary/],
    ['no end', `--B\r\n${part}\r\n`, /ends within a part/],
    ['LF alone', `--B\n${part.replaceAll('\r', '')}\n--B--`, /boundary that its line/],
    ['a boundary behind LF alone', `--B\r\n${part}\n--B\n${part}\r\n--B--`, /no CRLF begins/],
    ['an end behind CR alone', `--B\r\n${part}\r--B--\r\r\n--B--`, /no CRLF begins/],
    ['a longer boundary', `--B\r\n${part}\r\n--Bx\r\n${part}\r\n--B--`, /boundary that its line/],
    ['no headers', '--B\r\n\r\n7\r\n--B--', /no form-data|without an end|header line/],
    [
      'a folded header',
      `--B\r\nContent-Disposition: form-data;\r\n name="id"\r\n\r\n7\r\n--B--`,
      /header line|cannot be read/,
    ],
    [
      'filename*',
      `--B\r\nContent-Disposition: form-data; name="id"; filename*="utf-8''a"\r\n\r\n7\r\n--B--`,
      /filename\*/,
    ],
    ['a backslash', `--B\r\nContent-Disposition: form-data; name="i\\"d"\r\n\r\n7\r\n--B--`, /one way/],
    ['no quotes', `--B\r\nContent-Disposition: form-data; name=id\r\n\r\n7\r\n--B--`, /one way/],
    ['two names', `--B\r\nContent-Disposition: form-data; name="a"; name="b"\r\n\r\n7\r\n--B--`, /two parameters/],
    [
      'two dispositions',
      `--B\r\nContent-Disposition: form-data; name="a"\r\n${part}\r\n--B--`,
      /two content-disposition/,
    ],
    ['an attachment', '--B\r\nContent-Disposition: attachment; name="a"\r\n\r\n7\r\n--B--', /no form-data/],
    ['base64', `--B\r\nContent-Transfer-Encoding: base64\r\n${part}\r\n--B--`, /content-transfer-encoding/],
    ['long headers', `--B\r\nX: ${'x'.repeat(9000)}\r\n${part}\r\n--B--`, /bytes of headers/],
    ['many parts', `${`--B\r\n${part}\r\n`.repeat(1001)}--B--`, /more than 1000 parts/],
  ];
  for (const [name, text, reason] of cases) t.match(parseMultipart(Buffer.from(text), 'B'), reason, name);
  t.same(
    ['multipart/form-data; boundary=a; boundary=b', 'multipart/form-data', 'multipart/form-data; boundary="a b"'].map(
      boundaryOf,
    ),
    [...[undefined, undefined, 'a b']],
  );
  for (const others of [';boundary*=x', '; boundary*0=x', '; boundary =x', ';boundary="x"', '; Boundary=x'])
    t.equal(boundaryOf(`multipart/form-data; boundary=a${others}`), undefined, others);
  t.equal(boundaryOf('multipart/form-data; x="; boundary=b"; boundary="\\a"; charset=utf-8'), 'a');
});

t.test('any bytes have an outcome, in time that grows with them alone', async (t) => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      (bytes) => parseMultipart(Buffer.concat([Buffer.from('--B\r\n'), bytes]), 'B') !== undefined,
    ),
  );
  const startedAt = performance.now();
  parseMultipart(Buffer.concat([Buffer.from('--B\r\n'), Buffer.from('\r\n--'.repeat(4_000_000))]), 'B');
  t.ok(performance.now() - startedAt < 1000);
});

t.test('what curl and fetch send is read', async (t) => {
  const { validation } = await validationOf(openApi('3.1.0', PATHS));
  const codes: string[] = [];
  const server = await listen(
    http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const type = request.headers['content-type'] ?? '';
        codes.push(codeOf(validation, 'POST /a', { headers: ['content-type', type], body: Buffer.concat(chunks) }));
        response.end();
      });
    }),
  );
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${portOf(server)}/a`;
  const file = `${t.testdir({ 'a.bin': '\0\x01\r\n--' })}/a.bin`;
  const form = new FormData();
  form.set('id', '7');
  form.set('meta', new Blob(['{"name":"ä"}'], { type: 'application/json' }));
  form.set('file', new Blob([new Uint8Array(100_000)]), 'a "quoted" name.bin');
  await fetch(url, { method: 'POST', body: form });
  const curl = (meta: string) =>
    runCommand('curl', ['-s', '-F', 'id=7', '-F', `meta=${meta}`, '-F', `file=@${file}`, url]);
  await curl('{"name":"a"};type=application/json');
  await curl('{}');
  t.same(codes, ['allowed', 'allowed', 'invalid_body']);
});
