import t from 'tap';
import { Refusal } from '#policy/error/refusal.ts';
import type { BodyPlan } from '#policy/workload-policy.ts';
import { BodyJudge, MAX_JUDGED_BESIDE, sharedBytes } from '#sidecar/policy/judge-beside.ts';
import { openApi, validationOf } from '../../policy/validation/validation-of.ts';
import { turnsMeanwhile } from '../../support/turns-meanwhile.ts';

async function planFor(schema: string, spec: object = {}): Promise<BodyPlan> {
  const body = `requestBody: {required: true, content: {application/json: {schema: ${schema}}}}`;
  const document = openApi('3.1.0', `  /b:\n    post: {${body}}\n`);
  const { validation } = await validationOf(document, { limits: { bodyBytes: '64Mi' }, ...spec });
  const headers = ['content-type', 'application/json'];
  const head = { method: 'POST', path: '/b', query: '', headers, hasBody: true, contentLength: undefined };
  const { body: plan } = validation.judgeHead(head);
  if (plan === undefined) throw new Error('no plan');
  return plan;
}

const LIST = '{type: array, items: {type: object, required: [n], properties: {n: {type: integer, maximum: 99999999}}}}';

function listOf(count: number, last: object): Buffer {
  const items = Array.from({ length: count }, (_, n): object => ({ n }));
  return Buffer.from(JSON.stringify([...items, last]));
}

t.test('another thread finds what is found here, and other work goes on meanwhile', async (t) => {
  const plan = await planFor(LIST);
  const judge = new BodyJudge();
  const bodies = [
    listOf(300_000, { n: 1 }),
    listOf(300_000, { n: 'one' }),
    listOf(10, {}),
    Buffer.from('[{"n":1},]'),
    Buffer.from([0x22, 0xff, 0x22]),
  ];
  for (const bytes of bodies) {
    const { result, others } = await turnsMeanwhile(() => judge.judge(sharedBytes(bytes), plan.task));
    t.same(plan.found(result), plan.judge(bytes));
    if (bytes.length > 1_000_000) t.ok(others > 10, `${others} turns of others`);
  }
});

t.test('what takes longer than its time is refused, and the next body is judged all the same', async (t) => {
  const plan = await planFor(LIST);
  const judge = new BodyJudge({ timeoutMs: 1 });
  const slow = await judge.judge(sharedBytes(listOf(300_000, { n: 1 })), plan.task);
  t.match(plan.found(slow), [{ code: 'invalid_body', reason: 'body: the value takes longer than 1 ms to check' }]);
  const [first, second] = await Promise.all([
    new BodyJudge().judge(sharedBytes(listOf(1, { n: 'x' })), plan.task),
    new BodyJudge().judge(sharedBytes(listOf(1, { n: 2 })), plan.task),
  ]);
  t.equal(first?.code, 'invalid_body');
  t.equal(second, undefined);
});

t.test('a body that waits for others is not found invalid for it, but overloaded', async (t) => {
  const plan = await planFor(LIST);
  const judge = new BodyJudge({ waitMs: 1_000 });
  const bytes = sharedBytes(listOf(150_000, { n: 1 }));
  const outcomes = await Promise.allSettled(Array.from({ length: 150 }, () => judge.judge(bytes, plan.task)));
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  t.ok(refused.length > 0, 'there were too many');
  for (const reason of refused) t.match(reason, { code: 'overloaded', message: /waited longer than 1000 ms/ });
  const judged = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  t.same(new Set(judged), new Set([undefined]));
  t.equal(await judge.judge(sharedBytes(listOf(1, { n: 1 })), plan.task), undefined, 'the next one is judged');
});

t.test('bodies that waited behind one that takes too long are judged all the same', async (t) => {
  const plan = await planFor(LIST);
  const judge = new BodyJudge({ timeoutMs: 100 });
  const slow = sharedBytes(listOf(3_000_000, { n: 1 }));
  const quick = sharedBytes(listOf(1, { n: 1 }));
  const wrong = sharedBytes(listOf(1, { n: 'x' }));
  t.equal(await judge.judge(quick, plan.task), undefined);
  const [first, ...others] = await Promise.all([slow, quick, wrong].map((bytes) => judge.judge(bytes, plan.task)));
  t.match(first, { details: [{ keyword: 'work' }] });
  t.match(others, [undefined, { code: 'invalid_body', details: [{ pointer: '/1/n' }] }]);
});

t.test('a body of more values than memory holds is malformed: parsing it would end the process', async (t) => {
  const plan = await planFor('{}');
  const judge = new BodyJudge();
  const values = ['[]', '{}', '"ab"', '1.5', '{"a":1}'];
  for (const value of values) {
    const count = Math.floor((60 * 1024 * 1024) / (value.length + 1));
    const fault = await judge.judge(sharedBytes(Buffer.from(`[${`${value},`.repeat(count)}1]`)), plan.task);
    t.match(
      fault,
      { code: 'malformed_body', details: [{ message: /^more values than can be held at line 1/ }] },
      value,
    );
  }
  const lines = await judge.judge(sharedBytes(Buffer.from(`${'\n'.repeat(60_000_000)}x`)), plan.task);
  t.match(lines, { details: [{ message: 'expected a value at line 60000001, column 1' }] });
  t.equal(await judge.judge(sharedBytes(Buffer.from(`[${'7,'.repeat(30_000_000)}1]`)), plan.task), undefined);
  t.equal(await judge.judge(sharedBytes(Buffer.from(JSON.stringify('x'.repeat(60_000_000)))), plan.task), undefined);
});

t.test('no more bodies than its bound wait for it', async (t) => {
  const plan = await planFor(LIST);
  const judge = new BodyJudge();
  const bytes = sharedBytes(listOf(1, { n: 1 }));
  const asked = Array.from({ length: MAX_JUDGED_BESIDE }, () => judge.judge(bytes, plan.task));
  await t.rejects(
    judge.judge(bytes, plan.task),
    new Refusal('overloaded', `bodies that wait to be judged exceed maxJudgedBeside ${MAX_JUDGED_BESIDE}`),
  );
  t.same(await Promise.all(asked), Array(MAX_JUDGED_BESIDE).fill(undefined));
  t.equal(await judge.judge(bytes, plan.task), undefined);
});

t.test('the thread ends when it has nothing to do, and is begun again', async (t) => {
  const plan = await planFor(LIST);
  const judge = new BodyJudge({ idleMs: 1 });
  const bytes = sharedBytes(listOf(1, { n: 1 }));
  t.equal(await judge.judge(bytes, plan.task), undefined);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(await judge.judge(bytes, plan.task), undefined);
});

t.test('a judgement that outgrows its bound of work here says so, and is brought to an end there', async (t) => {
  const heavy = await planFor('{type: array, items: {type: string, pattern: "(a|b)+c$"}}');
  const bytes = Buffer.from(JSON.stringify(['ab'.repeat(30_000)]));
  t.equal(heavy.judgeWithin(bytes, 1_000), undefined);
  t.match(heavy.judge(bytes), [{ code: 'invalid_body' }]);
  t.match(heavy.found(await new BodyJudge().judge(sharedBytes(bytes), heavy.task)), heavy.judge(bytes));
});
