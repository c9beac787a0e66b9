import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { heldBytes } from '#sidecar/exchange/hold-body.ts';
import { eventually } from '../../control-plane/control-plane-fixture.ts';
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
        /photos:
          post:
            requestBody:
              required: true
              content:
                multipart/form-data:
                  schema:
                    type: object
                    required: [title, photo]
                    additionalProperties: false
                    properties:
                      title: {type: string, maxLength: 10}
                      photo: {type: string, format: binary}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec: {mode: MODE, schemaRefs: [api], limits: {bodyBytes: 4Ki, fileBytes: 8Mi}}
`;

const PHOTO =
  '--B\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n';
const title = (value: string) => `--B\r\nContent-Disposition: form-data; name="title"\r\n\r\n${value}\r\n`;
const PIECE = Buffer.alloc(512 * 1024, 'p');

/** An app that tells what came of each request. */
async function startForms(t: Test, mode: string) {
  const requests: { bytes: number; text: string; isWhole: boolean; isAborted: boolean }[] = [];
  const app = await startApp(t, (request: IncomingMessage, response) => {
    const came = { bytes: 0, text: '', isWhole: false, isAborted: false };
    requests.push(came);
    const hash = createHash('sha256');
    request.on('data', (chunk: Buffer) => {
      came.bytes += chunk.length;
      came.text = (came.text + chunk.toString('latin1')).slice(-200);
      hash.update(chunk);
    });
    request.on('end', () => {
      came.isWhole = true;
      response.end(hash.digest('hex'));
    });
    request.on('close', () => {
      came.isAborted = !came.isWhole;
    });
  });
  const sidecar = await startInbound(t, app.port, 'auto', RULES.replace('MODE', mode));
  /** Sends a form, the file in pieces; `between` is called when the app has most of it. */
  async function send(before: string, pieces: number, after: string, between: () => Promise<void> = async () => {}) {
    const form = Buffer.concat([
      Buffer.from(before),
      ...Array.from({ length: pieces }, () => PIECE),
      Buffer.from(after),
    ]);
    const caller = await sidecar.connectTls('client');
    caller.on('error', () => {});
    const head = `POST /photos HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: multipart/form-data; boundary=B\r\ncontent-length: ${form.length}\r\n\r\n`;
    caller.write(head);
    const cut = form.length - Buffer.byteLength(after);
    caller.write(form.subarray(0, cut));
    await between();
    caller.write(form.subarray(cut));
    const answer = await readAll(caller);
    return {
      status: Number(answer.split(' ')[1]),
      isAsSent: answer.includes(createHash('sha256').update(form).digest('hex')),
    };
  }
  /** The same over HTTP/2, of a length that nobody told. */
  async function sendOverHttp2(before: string, pieces: number, after: string) {
    const socket = await sidecar.connectTls('client', { ALPNProtocols: ['h2'] });
    const session = http2.connect('https://server', { createConnection: () => socket });
    const request = session.request({
      ...{ ':method': 'POST', ':path': '/photos', 'content-type': 'multipart/form-data; boundary=B' },
    });
    const answered = once(request, 'response');
    const form = Buffer.concat([
      Buffer.from(before),
      ...Array.from({ length: pieces }, () => PIECE),
      Buffer.from(after),
    ]);
    request.on('error', () => {}); // a refusal may end it before all was sent
    request.end(form);
    const [headers] = await answered;
    const answer = await text(request);
    session.destroy();
    const isAsSent = answer.includes(createHash('sha256').update(form).digest('hex'));
    return { status: Number(headers[':status']), isAsSent };
  }
  return { requests, send, sendOverHttp2, sidecar };
}

t.test('Enforce: what files hold reaches the app as it comes, the end of the form when it was judged', async (t) => {
  const { requests, send, sidecar } = await startForms(t, 'Enforce');
  const mostCame = async () => {
    const isOn = () => requests.some(({ bytes, isWhole }) => bytes > 3 * PIECE.length - 1000 && !isWhole);
    await eventually('the app has most of it, and not its end', isOn);
    t.ok(heldBytes() < 16 * 1024, `${heldBytes()} bytes held`);
  };
  const good = await send(title('sea') + PHOTO, 3, '\r\n--B--\r\n', mostCame);
  t.same(good, { status: 200, isAsSent: true });
  t.same(await send(PHOTO, 3, `\r\n${title('sea')}--B--\r\n`, mostCame), { status: 200, isAsSent: true });

  for (const [name, before, after, status] of [
    ['a field too long, ahead', title('12345678901') + PHOTO, '\r\n--B--\r\n', 400],
    ['a field too long, behind', PHOTO, `\r\n${title('12345678901')}--B--\r\n`, 400],
    ['a field missing', PHOTO, '\r\n--B--\r\n', 400],
    ['one that is not declared', title('sea') + PHOTO, `\r\n${title('x').replace('title', 'admin')}--B--\r\n`, 400],
    ['an end behind LF', title('12345678901') + PHOTO, '\n--B--\n\r\n--B--\r\n', 400],
    ['no end', title('sea') + PHOTO, '\r\n--B', 400],
    ['fields longer than bodyBytes', PHOTO, `\r\n${title('x'.repeat(5000))}--B--\r\n`, 413],
  ] as const) {
    t.equal((await send(before, 3, after)).status, status, name);
    await eventually(`${name}: the app gets no whole form`, () => requests.at(-1)?.isAborted === true);
    t.notOk(/[\r\n]--B--/.test(requests.at(-1)?.text ?? ''), name);
  }
  t.equal((await send(title('sea') + PHOTO, 17, '\r\n--B--\r\n')).status, 413, 'files longer than fileBytes');
  await eventually('nothing is held any more', () => heldBytes() === 0);
  const lines = await sidecar.log(10);
  t.match(lines[2], { code: 'invalid_body', reason: /^body \/title: must NOT have more than 10 characters$/ });
  t.match(lines[6], { code: 'malformed_body', reason: /no CRLF begins/ });
  t.match(lines[8], { code: 'body_too_large', reason: /limits.bodyBytes 4096/ });
});

t.test('over HTTP/2, of a length that nobody told', async (t) => {
  const { requests, sendOverHttp2 } = await startForms(t, 'Enforce');
  t.same(await sendOverHttp2(title('sea') + PHOTO, 9, '\r\n--B--\r\n'), { status: 200, isAsSent: true });
  for (const [name, before, after, status] of [
    ['a field too long', PHOTO, `\r\n${title('12345678901')}--B--\r\n`, 400],
    ['no end', title('sea') + PHOTO, '\r\n--B', 400],
    ['files longer than fileBytes', title('sea') + PHOTO + 'x'.repeat(6 * 1024 * 1024), '\r\n--B--\r\n', 413],
  ] as const) {
    t.equal((await sendOverHttp2(before, 9, after)).status, status, name);
    await eventually(`${name}: the app gets no whole form`, () => requests.at(-1)?.isAborted === true);
    t.notOk(/[\r\n]--B--/.test(requests.at(-1)?.text ?? ''), name);
  }
  await eventually('nothing is held any more', () => heldBytes() === 0);
});

t.test('whoever leaves in the middle, nothing stays held', async (t) => {
  const { requests, sidecar } = await startForms(t, 'Enforce');
  const begin = async (path = '/photos') => {
    const caller = await sidecar.connectTls('client');
    caller.on('error', () => {});
    const type = 'content-type: multipart/form-data; boundary=B\r\ntransfer-encoding: chunked';
    caller.write(`POST ${path} HTTP/1.1\r\nhost: a\r\n${type}\r\n\r\n`);
    const chunk = (text: string | Buffer) => {
      caller.write(`${Buffer.byteLength(text).toString(16)}\r\n`);
      caller.write(text);
      caller.write('\r\n');
    };
    const earlier = requests.length;
    chunk(`${title('sea')}${PHOTO}`);
    chunk(PIECE);
    const hasSome = () => requests.length > earlier && (requests.at(-1)?.bytes ?? 0) > PIECE.length - 1000;
    await eventually('the app has some', hasSome);
    t.ok(heldBytes() > 0, 'the fields are held');
    return { caller, chunk };
  };
  const left = await begin();
  left.caller.destroy();
  await eventually('the caller left', () => heldBytes() === 0 && requests.at(-1)?.isAborted === true);
  const ended = await begin();
  ended.caller.write('0\r\n\r\n');
  t.match(await readAll(ended.caller), /^HTTP\/1.1 400 /, 'chunks that end within the file');
  await eventually('the form ended early', () => heldBytes() === 0 && requests.at(-1)?.isAborted === true);
  const { caller, chunk } = await begin();
  for (const byte of Buffer.from(`\r\n${title('x')}`)) chunk(Buffer.of(byte));
  caller.write('0\r\n\r\n');
  t.match(await readAll(caller), /^HTTP\/1.1 400 /, 'the end in single bytes: a name twice, and no end');
  await eventually('nothing is held any more', () => heldBytes() === 0);
  await sidecar.setPolicies(RULES.replace('MODE', 'Audit'));
  const audited = await begin();
  audited.caller.destroy();
  await eventually('Audit', () => heldBytes() === 0);
});

t.test('an app that answers early, or dies in the middle', async (t) => {
  let isDying = false;
  const app = await startApp(t, (request, response) => {
    request.once('data', () => {
      if (isDying) request.socket.destroy();
      else response.end('early');
    });
    request.on('error', () => {});
  });
  const sidecar = await startInbound(t, app.port, 'auto', RULES.replace('MODE', 'Enforce'));
  for (const expected of [/^HTTP\/1.1 200 [\s\S]*early/, /^HTTP\/1.1 503 /]) {
    const caller = await sidecar.connectTls('client');
    caller.on('error', () => {});
    const length = 3 * PIECE.length;
    const head = `POST /photos HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: ${length}\r\n`;
    caller.write(`${head}content-type: multipart/form-data; boundary=B\r\n\r\n${title('sea')}${PHOTO}`);
    caller.write(PIECE);
    t.match(await readAll(caller), expected);
    caller.destroy();
    await eventually('nothing is held', () => heldBytes() === 0);
    const socket = await sidecar.connectTls('client', { ALPNProtocols: ['h2'] });
    const session = http2.connect('https://server', { createConnection: () => socket });
    const request = session.request({
      ...{ ':method': 'POST', ':path': '/photos', 'content-type': 'multipart/form-data; boundary=B' },
    });
    request.on('error', () => {});
    request.write(`${title('sea')}${PHOTO}`);
    request.write(PIECE);
    const [headers] = await once(request, 'response');
    t.equal(headers[':status'], isDying ? 503 : 200, 'over HTTP/2');
    request.resume();
    await eventually('nothing is held for a stream', () => heldBytes() === 0);
    session.destroy();
    isDying = true;
  }
});

t.test('Audit: all passes as it comes, and what would be refused is recorded', async (t) => {
  const { requests, send, sidecar } = await startForms(t, 'Audit');
  t.same(await send(title('12345678901') + PHOTO, 3, '\r\n--B--\r\n'), { status: 200, isAsSent: true });
  t.same(await send(title('sea') + PHOTO, 3, '\n--B--\n'), { status: 200, isAsSent: true });
  t.same(await send(PHOTO, 17, `\r\n${title('sea')}--B--\r\n`), { status: 200, isAsSent: true });
  t.ok(requests.every(({ isWhole }) => isWhole));
  const lines = await sidecar.log(3);
  t.match(lines, [{ code: 'invalid_body' }, { code: 'malformed_body' }, { code: 'body_too_large' }]);
  await eventually('nothing is held any more', () => heldBytes() === 0);
});
