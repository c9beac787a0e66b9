import fc from 'fast-check';
import t from 'tap';
import { FormStream } from '#policy/validation/decode/form-stream.ts';
import { type Part, parseMultipart } from '#policy/validation/decode/parse-multipart.ts';

const isFile = (name: string) => name.startsWith('file');

/** The body in chunks that end at the given places. */
function cut(body: Buffer, places: readonly number[]): readonly Buffer[] {
  const ends = [...new Set(places.map((place) => place % (body.length + 1)))].sort((left, right) => left - right);
  const chunks = [0, ...ends].map((start, index) => body.subarray(start, ends[index]));
  return chunks.filter(({ length }) => length > 0);
}

function streamed(chunks: readonly Buffer[]) {
  const stream = new FormStream('B', isFile);
  const passed: Buffer[] = [];
  for (const chunk of chunks) passed.push(Buffer.from(stream.take(chunk)));
  const fault = stream.finish();
  return { stream, fault, passed: Buffer.concat(passed) };
}

function withoutFiles(parts: readonly Part[]) {
  return parts.map(({ name, contentType, headers, bytes }) => ({
    name,
    contentType,
    headers: [...headers],
    text: isFile(name) ? '' : bytes.toString('latin1'),
  }));
}

/** Pieces of which bodies are put together, good ones and such as look like it. */
const PIECES = [
  ...[
    '--B',
    '\r\n',
    '--',
    '\n',
    '\r',
    '\r\n--B\r\n',
    '\r\n--B--',
    '\r\n--B--\r\n',
    '\n--B',
    '--Bx',
    'x',
    '',
    '\r\n\r\n',
  ],
  ...[
    'Content-Disposition: form-data; name="a"\r\n\r\n',
    'Content-Disposition: form-data; name="file"; filename="f"\r\n\r\n',
  ],
  ...[
    'Content-Disposition: form-data; name="file2"\r\nContent-Type: image/png\r\n\r\n',
    'X: y\r\n',
    'text',
    '\r\n-',
    '\r\n--',
  ],
];

t.test('a stream reads what the parser of whole bodies reads, however the body is cut', async (t) => {
  let good = 0;
  const body = fc
    .array(fc.constantFrom(...PIECES), { maxLength: 12 })
    .chain((middle) =>
      fc.constantFrom(`--B\r\n${middle.join('')}\r\n--B--\r\n`, `--B\r\n${middle.join('')}`, middle.join('')),
    );
  fc.assert(
    fc.property(body, fc.array(fc.nat(), { maxLength: 8 }), (text, places) => {
      const whole = Buffer.from(text);
      const parts = parseMultipart(whole, 'B');
      const { stream, fault, passed } = streamed(cut(whole, places));
      if (typeof parts === 'string') {
        if (fault === undefined) throw new Error(`streams, and ${parts}`);
        return;
      }
      good += 1;
      if (fault !== undefined) throw new Error(`is a form, and the stream ${fault}`);
      const form = parseMultipart(Buffer.concat(stream.form.blocks()), 'B');
      if (typeof form === 'string') throw new Error(`its form ${form}`);
      if (JSON.stringify(withoutFiles(form)) !== JSON.stringify(withoutFiles(parts))) throw new Error('another form');
      if (!Buffer.concat([passed, stream.held]).equals(whole)) throw new Error('other bytes');
      if (/[\r\n]--B--/.test(passed.toString('latin1'))) throw new Error('its end went on');
      const fileBytes = parts.reduce((sum, { name, bytes }) => sum + (isFile(name) ? bytes.length : 0), 0);
      if (stream.fileBytes !== fileBytes) throw new Error(`${stream.fileBytes} bytes of files, not ${fileBytes}`);
    }),
    { numRuns: 20_000, endOnFailure: true },
  );
  t.ok(good > 200, `${good} of them were forms`);
});

t.test('of what is no form nothing goes on that ends it', async (t) => {
  const head = '--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n';
  for (const [name, text] of [
    ['behind LF', `${head}x\n--B--\n\r\n--B--`],
    ['behind CR', `${head}x\r--B--\r\r\n--B--`],
    ['at once', `${head}--B--\r\n--B--`],
    ['twice', `${head}x\r\n--B--\r\n--B--\r\n`],
  ] as const) {
    for (let size = 1; size < 12; size++) {
      const body = Buffer.from(text);
      const chunks = Array.from({ length: Math.ceil(body.length / size) }, (_, at) =>
        body.subarray(at * size, (at + 1) * size),
      );
      const { fault, passed } = streamed(chunks);
      t.ok(
        fault !== undefined && !/[\r\n]--B--/.test(passed.toString('latin1')),
        `${name} in pieces of ${size}: ${fault}`,
      );
    }
  }
});

t.test('what is kept of a file of megabytes is next to nothing, and little time', async (t) => {
  const stream = new FormStream('B', isFile);
  let passed = stream.take(
    Buffer.from('--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'),
  ).length;
  const chunk = Buffer.from('\r\n--'.repeat(4096));
  const startedAt = performance.now();
  for (let count = 0; count < 2_000; count++) {
    passed += stream.take(chunk).length;
    if (stream.held.length > 10) throw new Error(`${stream.held.length} bytes held`);
  }
  passed += stream.take(Buffer.from('\r\n--B--\r\n')).length;
  t.equal(stream.finish(), undefined);
  t.equal(stream.fileBytes, 2_000 * chunk.length);
  t.ok(passed > stream.fileBytes);
  t.ok(stream.form.size < 100);
  t.ok(performance.now() - startedAt < 2_000, `${performance.now() - startedAt} ms for 32 MB`);
});
