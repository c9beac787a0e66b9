import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { heldBytes } from '#sidecar/exchange/hold-body.ts';
import { readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';

/** The app answers as the query asks it to. */
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
        /item:
          get:
            responses:
              "200":
                description: an item
                headers: {etag: {required: true, schema: {type: string}}}
                content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: integer}}}}}
              "404": {description: none}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: api, namespace: test}
spec:
  mode: Enforce
  schemaRefs: [api]
  request: {unknownParameters: Allow}
  limits: {bodyBytes: 100k}
  response: {body: MODE, headers: MODE, undeclaredStatus: MODE}
`;

interface Wanted {
  readonly status?: number;
  /** Told ahead, with 103. */
  readonly hint?: string;
  readonly headers?: { readonly [name: string]: string };
  readonly chunks?: readonly string[];
  /** The connection ends where the response should go on. */
  readonly isBroken?: boolean;
}

async function start(t: Parameters<typeof startApp>[0], mode: string) {
  const app = await startApp(t, async (request, response) => {
    const wanted: Wanted = JSON.parse(decodeURIComponent(new URL(request.url ?? '', 'http://a').search.slice(3)));
    if (wanted.hint !== undefined) response.writeEarlyHints({ link: wanted.hint });
    response.writeHead(wanted.status ?? 200, { 'content-type': 'application/json', etag: '"1"', ...wanted.headers });
    for (const chunk of wanted.chunks ?? []) {
      response.write(chunk === 'LONG' ? LONG : chunk);
      await sleep(20);
    }
    if (wanted.isBroken === true) response.destroy();
    else response.end();
  });
  const sidecar = await startInbound(t, app.port, 'auto', RULES.replaceAll('MODE', mode));
  const get = async (wanted: Wanted, method = 'GET') => {
    const caller = await sidecar.connectTls('client');
    const query = encodeURIComponent(JSON.stringify(wanted));
    caller.write(`${method} /item?w=${query} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    return readAll(caller);
  };
  return { sidecar, get };
}

const LONG = `{"id":1,"text":"${'x'.repeat(200_000)}"}`;

t.test('Enforce: nothing of a response that does not fit reaches the caller', async (t) => {
  const { sidecar, get } = await start(t, 'Enforce');
  t.match(await get({ chunks: ['{"id"', ':1}'] }), /^HTTP\/1\.1 200 .*\{"id":1\}/s);
  t.match(await get({}, 'HEAD'), /^HTTP\/1\.1 200 /);
  t.match(
    await get({ status: 404, chunks: ['secret'] }),
    /^HTTP\/1\.1 404 .*secret/s,
    'nothing is declared of its body',
  );
  const refused: readonly (readonly [Wanted, RegExp])[] = [
    [{ chunks: ['{"id":', '"secret"}'] }, /^response \/id: must be integer$/],
    [
      { status: 500, hint: '</secret>; rel=preload', chunks: ['secret'] },
      /the status 500 is not declared; declared: 200, 404/,
    ],
    [{ headers: { 'content-type': 'text/html' }, chunks: ['secret'] }, /content type text\/html is not declared/],
    [{ chunks: ['LONG'] }, /exceeds limits.bodyBytes 100000/],
    [{ headers: { 'content-length': String(LONG.length) }, chunks: ['LONG'] }, /body of 200018 bytes exceeds/],
    [{ chunks: ['{"id":1'] }, /^response: ends where/],
    [{}, /^response: the body is missing$/],
  ];
  let count = 3;
  for (const [wanted, reason] of refused) {
    const answer = await get(wanted);
    t.match(answer, /^HTTP\/1\.1 502 .*"code":"invalid_response"/s);
    t.notMatch(answer, /secret|etag|xxx/);
    count += 1;
    const lines = await sidecar.log(count);
    t.match(lines.at(-1), { code: 'invalid_response', decision: 'deny', status: 502, policy: 'test/api', reason });
  }
  t.match(await get({ chunks: ['{"id":'], isBroken: true }), /^HTTP\/1\.1 503 .*"code":"upstream_unavailable"/s);
  t.equal(heldBytes(), 0, 'the memory is given back');
});

t.test('Audit: a response passes as it comes, and what does not fit is recorded', async (t) => {
  const { sidecar, get } = await start(t, 'Audit');
  const passed: readonly (readonly [Wanted, object])[] = [
    [{ chunks: ['{"id"', ':1}'] }, { decision: 'allow', code: 'allowed' }],
    [
      { chunks: ['{"id":', '"x"}'] },
      { decision: 'audit', code: 'invalid_response', reason: /^response \/id: must be integer$/ },
    ],
    [
      { status: 500, chunks: ['any'] },
      { decision: 'audit', code: 'invalid_response', reason: /status 500/ },
    ],
    [{ chunks: ['LONG'] }, { decision: 'audit', code: 'invalid_response', reason: /exceeds limits.bodyBytes 100000/ }],
  ];
  let count = 0;
  for (const [wanted, line] of passed) {
    const answer = await get(wanted);
    t.match(answer, new RegExp(`^HTTP/1\\.1 ${wanted.status ?? 200} `));
    for (const chunk of wanted.chunks ?? []) t.ok(answer.includes(chunk === 'LONG' ? LONG.slice(0, 1000) : chunk));
    count += 1;
    const lines = await sidecar.log(count);
    t.match(lines.at(-1), { status: wanted.status ?? 200, ...line });
  }
  t.match(await get({ hint: '</a>; rel=preload', chunks: ['{"id":1}'] }), /^HTTP\/1\.1 103 .*<\/a>.*\{"id":1\}/s);
  count += 1;
  await get({ chunks: ['{"id":'], isBroken: true });
  const lines = await sidecar.log(count + 1);
  t.match(lines.at(-1), { code: 'upstream_unavailable' });
  t.equal(heldBytes(), 0, 'the memory is given back');
});

t.test('Off: what is not asked for is not looked at', async (t) => {
  const { sidecar, get } = await start(t, 'Off');
  t.match(await get({ status: 500, chunks: ['any'] }), /^HTTP\/1\.1 500 /);
  const lines = await sidecar.log(1);
  t.match(lines[0], { decision: 'allow', code: 'allowed' });
});
