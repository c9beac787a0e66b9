import t from 'tap';
import { findings, openApi, validationOf } from './validation-of.ts';

const CONTENT = `application/x-www-form-urlencoded:
            schema: {type: object, properties: {a: {type: array, items: {type: integer}}}}
            encoding: {a: {style: form, explode: false}}`;
const PATHS = `  /a:
    get: {parameters: [{name: a, in: query, explode: false, schema: {type: array, items: {type: integer}}}]}
    post:
      requestBody:
        content:
          ${CONTENT}
`;

function timed<T>(run: () => T): { result: T; ms: number } {
  const begun = performance.now();
  const result = run();
  return { result, ms: performance.now() - begun };
}

t.test('a list of many items in a query costs what its bound of work allows', async (t) => {
  const { validation } = await validationOf(openApi('3.1.0', PATHS));
  const of = (items: number) => timed(() => findings(validation, `GET /a?a=${'1,'.repeat(items)}1`));
  t.same(of(5_000).result, []);
  const long = of(30_000);
  t.match(long.result, [{ code: 'invalid_parameter', reason: /^query \/a: the value takes more than 500000 steps/ }]);
  t.ok(long.ms < 100, `${long.ms} ms`);
});

t.test('a form of long lists, or of fields without a value, is judged in bounded time and memory', async (t) => {
  const { validation } = await validationOf(openApi('3.1.0', PATHS), { limits: { bodyBytes: '64Mi' } });
  const headers = ['content-type', 'application/x-www-form-urlencoded'];
  const head = { method: 'POST', path: '/a', query: '', headers, hasBody: true, contentLength: undefined };
  const { body: plan } = validation.judgeHead(head);
  if (plan === undefined) throw new Error('no plan');
  t.same(plan.judge(Buffer.from(`a=${'1,'.repeat(100_000)}1`)), []);
  t.equal(plan.judgeWithin(Buffer.from(`a=${'1,'.repeat(100_000)}1`), 500_000), undefined, 'it is judged elsewhere');
  const names = (count: number) => Array.from({ length: count }, (_, index) => `b${index}&`).join('');
  const commas = timed(() => plan.judge(Buffer.from(`a=${','.repeat(50_000_000)}`)));
  t.match(commas.result, [{ code: 'invalid_body', reason: /steps to check/ }]);
  const fields = timed(() => plan.judge(Buffer.from(`${names(2_000)}${'&'.repeat(50_000_000)}`)));
  t.same(fields.result, []);
  const short = timed(() => plan.judge(Buffer.from(`${names(1_999)}${'x'.repeat(250_000)}`)));
  t.ok(commas.ms < 3_000 && fields.ms < 3_000 && short.ms < 100, `${commas.ms}, ${fields.ms}, ${short.ms} ms`);
});
