import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Refusal } from '#policy/error/refusal.ts';
import { heldBytes, MAX_BUFFERED_BYTES, releaseBytes, reserveBytes } from '#sidecar/exchange/hold-body.ts';
import { bufferBody } from '#sidecar/http/buffered-body.ts';
import type { BodyConsumer, IncomingBody } from '#sidecar/http/message.ts';
import { bodyJudge } from '#sidecar/policy/judge-beside.ts';
import { readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';

const RULES = `apiVersion: lateral.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: all, namespace: test}
spec: {rules: [{}]}
---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: api, namespace: test}
spec:
  openapi:
    inline: |
      openapi: 3.1.0
      info: {title: api, version: "1"}
      paths:
        /list:
          post:
            requestBody: {required: true, content: {application/json: {schema: {type: array, items: {type: integer}}}}}
            responses: {"200": {description: told, content: {application/json: {schema: {type: array, items: {type: integer}}}}}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {mode: POLICY, schemaRefs: [api], response: {body: Enforce}}
---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {mode: MESH}
`;

for (const [policy, mesh] of [
  ['Audit', 'Enforce'],
  ['Enforce', 'Audit'],
] as const) {
  t.test(
    `policy ${policy}, mesh ${mesh}: nothing is refused or kept waiting for want of means to judge it`,
    async (t) => {
      const app = await startApp(t, async (request, response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk);
        const body = Buffer.concat(chunks);
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length + 1 });
        response.write(body);
        await sleep(300);
        response.end(' ');
      });
      const sidecar = await startInbound(t, app.port, 'auto', RULES.replace('POLICY', policy).replace('MESH', mesh));
      const post = async (body: string) => {
        const caller = await sidecar.connectTls('client');
        const head = 'POST /list HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n';
        caller.write(`${head}content-length: ${body.length}\r\n\r\n${body}`);
        let firstAt = 0;
        caller.once('data', () => {
          firstAt = performance.now();
        });
        const answer = await readAll(caller);
        return {
          status: Number(answer.split(' ')[1]),
          isWhole: answer.includes(body),
          waitedMs: performance.now() - firstAt,
        };
      };
      const taken = MAX_BUFFERED_BYTES - heldBytes();
      t.ok(reserveBytes(taken));
      const short = await post('["a"]');
      releaseBytes(taken);
      t.match(short, { status: 200, isWhole: true }, 'no memory');
      t.match((await sidecar.log(1))[0], { decision: 'audit', code: 'overloaded' });

      const { judge } = bodyJudge;
      bodyJudge.judge = async () => {
        throw new Refusal('overloaded', 'the thread that judges large bodies ended');
      };
      t.teardown(() => {
        bodyJudge.judge = judge;
      });
      const long = `[${'123456,'.repeat(50_000)}1]`;
      t.match(await post(long), { status: 200, isWhole: true }, 'no thread');
      bodyJudge.judge = judge;
      t.match((await sidecar.log(2))[1], { decision: 'audit', code: 'overloaded' });

      const wrong = await post('["a"]');
      t.match(wrong, { status: 200, isWhole: true });
      t.ok(wrong.waitedMs > 200, 'the answer streams past');
      t.match((await sidecar.log(3))[2], { decision: 'audit', code: 'invalid_body' });
      t.equal(heldBytes(), 0);
    },
  );
}

t.test('a body that is let go in the middle goes on from its beginning', async (t) => {
  for (const declaredLength of [undefined, 300_000]) {
    let sender: BodyConsumer | undefined;
    const source: IncomingBody = {
      isPresent: true,
      declaredLength,
      start: (consumer) => {
        sender = consumer;
      },
      pause: () => {},
      resume: () => {},
      cancel: () => {},
    };
    const buffering = bufferBody(source, 1_000_000, () => {});
    sender?.onChunk(Buffer.alloc(100_000, 'a'));
    buffering.letGo();
    const held = await buffering.result;
    t.match(held, { isWhole: false, why: 'slow', size: 100_000 });
    sender?.onChunk(Buffer.alloc(100_000, 'b'));
    let text = '';
    const ended = new Promise<void>((resolve, reject) => {
      if (held.isWhole) throw new Error('whole');
      t.equal(held.read().length, 200_000);
      held.body.start({
        onChunk: (chunk) => {
          text += chunk.toString('latin1');
        },
        onEnd: () => resolve(),
        onError: reject,
      });
    });
    sender?.onChunk(Buffer.alloc(100_000, 'c'));
    sender?.onEnd([]);
    await ended;
    t.equal(text, ['a', 'b', 'c'].map((letter) => letter.repeat(100_000)).join(''));
  }
});
