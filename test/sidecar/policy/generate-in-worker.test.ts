import { brotliCompressSync } from 'node:zlib';
import t from 'tap';
import { MAX_SCHEMA_DOCUMENT_BYTES } from '#policy/resource/kinds/api-schema.ts';
import { generateValidators } from '#policy/validation/generate-validators.ts';
import { travellingOpenApi } from '#policy/validation/travelling-document.ts';
import { workerGenerator } from '#sidecar/policy/generate-in-worker.ts';
import { codeOf, openApi, validationOf } from '../../policy/validation/validation-of.ts';

const text = openApi(
  '3.1.0',
  '  /a:\n    post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [x], properties: {x: {type: string, format: uuid, pattern: "^[0-9a-f-]+$"}}}}}}}\n',
);

const document = { inline: text };

function manyOperations(count: number) {
  const paths = Array.from(
    { length: count },
    (_, index) =>
      `  /p${index}:\n    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {a${index}: {type: string}}}}}}}\n`,
  );
  return travellingOpenApi(openApi('3.1.0', paths.join('')));
}

t.test('gives what compiling in place gives', async (t) => {
  const jobs = [
    { name: 'shop/a', document },
    { name: 'shop/b', document: { inline: 'openapi: 9\n' } },
    { name: 'shop/c', document },
  ];
  t.same(await workerGenerator()(jobs), await generateValidators(jobs));
});

t.test('validates with validators made in the worker', async (t) => {
  const { validation, problems } = await validationOf(text, {}, workerGenerator());
  t.same(problems, []);
  t.equal(codeOf(validation, 'POST /a', { body: '{"x":"6fa459ea-ee8a-3ca4-894e-db77e160355e"}' }), 'allowed');
  t.equal(codeOf(validation, 'POST /a', { body: '{"x":"nope"}' }), 'invalid_body');
  t.equal(codeOf(validation, 'POST /a'), 'missing_body');
});

t.test('a document compiled before is not compiled again', async (t) => {
  const generate = workerGenerator();
  const [first] = await generate([{ name: 'shop/a', document }]);
  const [again] = await generate([{ name: 'other/b', document }]);
  t.equal(again, first, 'the very same sources');
  const [changed] = await generate([{ name: 'shop/a', document: { inline: text.replace('/a:', '/b:') } }]);
  t.not(changed, first);
  const small = workerGenerator({ maxCachedCharacters: 1 });
  const [once] = await small([{ name: 'shop/a', document }]);
  const [twice] = await small([{ name: 'shop/a', document }]);
  t.not(twice, once, 'what does not fit into the cache is not kept');
  t.same(twice, once);
});

t.test('a worker that takes too long is ended, and the next change is compiled all the same', async (t) => {
  const generate = workerGenerator({ timeoutMs: 1 });
  const started = performance.now();
  await t.rejects(generate([{ name: 'shop/a', document: manyOperations(2_000) }]), {
    message: 'the API descriptions took longer than 1 ms to compile',
  });
  t.ok(performance.now() - started < 5_000);
  t.equal((await workerGenerator()([{ name: 'shop/a', document }])).length, 1);
});

t.test('a worker that runs out of memory takes nothing else with it', async (t) => {
  const generate = workerGenerator({ maxHeapMb: 24 });
  await t.rejects(generate([{ name: 'shop/a', document: manyOperations(3_000) }]), /could not be compiled: .*memory/);
});

t.test('nothing to compile starts no worker', async (t) => {
  const started = performance.now();
  t.same(await workerGenerator()([]), []);
  t.ok(performance.now() - started < 50);
});

t.test('a long document is unpacked in the worker, within bounds', async (t) => {
  const long = manyOperations(200);
  t.equal(long.inline, undefined);
  const [generated] = await workerGenerator()([{ name: 'shop/a', document: long }]);
  t.equal(generated?.operations.length, 200);
  const cut = { brotli: long.brotli?.slice(0, 400) };
  await t.rejects(workerGenerator()([{ name: 'shop/a', document: cut }]), /could not be compiled/);
  const bomb = { brotli: brotliCompressSync(Buffer.alloc(MAX_SCHEMA_DOCUMENT_BYTES + 1, 0x20)).toString('base64') };
  await t.rejects(workerGenerator()([{ name: 'shop/a', document: bomb }]), /could not be compiled: .*larger than/);
});
