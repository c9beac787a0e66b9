import http from 'node:http';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import t from 'tap';
import { MAX_TAP_LINES_A_SECOND, MAX_WAITING_TAP_BYTES } from '#sidecar/telemetry/tap.ts';
import { readTapRequest, tapQuery } from '#sidecar/telemetry/tap-request.ts';
import { MAX_TAPS, TappedLog } from '#sidecar/telemetry/tapped-log.ts';
import { ALLOW_CLIENT, until } from '../../support/inbound-sidecar.ts';
import { startSidecarProcess } from '../../support/sidecar-process.ts';
import { startApp } from '../../support/start-app.ts';

const ANY = { code: undefined, decision: undefined, direction: undefined, limit: 1_000_000, seconds: 60 };
const DENY_PRIVATE = `${ALLOW_CLIENT}---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: private, namespace: test}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/private]}}]}]}
`;

type Line = { readonly [field: string]: unknown };

/** Looks on at an admin port; resolves once the tap has begun. */
async function tap(admin: unknown, query: string) {
  const lines: Line[] = [];
  const ended = Promise.withResolvers<void>();
  const request = http.get({ host: '127.0.0.1', port: Number(admin), path: `/tap?${query}` }, (response) => {
    createInterface({ input: response })
      .on('error', () => {}) // it was left
      .on('line', (line) => lines.push(JSON.parse(line)))
      .on('close', ended.resolve);
  });
  request.on('error', ended.reject);
  await until(() => lines.length > 0);
  return { lines, ended: ended.promise, leave: () => request.destroy() };
}

for (const more of ['', 'concurrency: 2']) {
  const title = more === '' ? 'one thread' : 'two workers';
  for (const accessLog of ['stdout', 'off']) {
    t.test(`${title}, accessLog ${accessLog}: those who tap see what they asked for`, async (t) => {
      const app = await startApp(t, (_request, response) => response.end('hello'));
      const telemetry = `telemetry: {accessLog: "${accessLog}"}`;
      const sidecar = await startSidecarProcess(t, app.port, DENY_PRIVATE, `${more}\n${telemetry}`);
      await sidecar.ask('/before');
      if (accessLog === 'stdout') await until(() => sidecar.lines.length === 1); // lines are written together
      const all = await tap(sidecar.ready.admin, 'limit=3');
      const denied = await tap(sidecar.ready.admin, 'decision=deny&seconds=2');
      t.match(all.lines, [{ event: 'tap_began', seconds: 600, limit: 3 }]);
      for (const path of ['/one', '/private', '/two', '/three']) await sidecar.ask(path);
      await Promise.all([all.ended, denied.ended]);
      t.equal(all.lines.length, 5);
      t.notOk(all.lines.some(({ path }) => path === '/before'));
      t.match(all.lines.at(-1), { event: 'tap_ended', reason: 'limit', shown: 3, skipped: 0 });
      t.match(denied.lines, [
        { event: 'tap_began' },
        { path: '/private', code: 'authorization_denied', policy: 'test/private', decision: 'deny' },
        { event: 'tap_ended', reason: 'time', shown: 1 },
      ]);
      t.equal(sidecar.lines.length > 0, accessLog === 'stdout');

      const kept = await (await fetch(`http://127.0.0.1:${sidecar.ready.admin}/decisions`)).json();
      const { decisionId } = denied.lines[1] ?? {};
      t.match(kept, { decisions: [{ decisionId, code: 'authorization_denied', path: '/private' }] });
    });
  }
}

t.test('a sidecar that ends says so to those who look on', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('hello'));
  const sidecar = await startSidecarProcess(t, app.port, ALLOW_CLIENT, '');
  const { lines, ended } = await tap(sidecar.ready.admin, '');
  sidecar.child.kill('SIGTERM');
  await ended;
  t.match(lines.at(-1), { event: 'tap_ended', reason: 'sidecar' });
  t.equal(await sidecar.exited, 0);
});

t.test('a wrong query, and one tap too many, are refused with what is right', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('hello'));
  const sidecar = await startSidecarProcess(t, app.port, ALLOW_CLIENT, '');
  const get = (query: string) => fetch(`http://127.0.0.1:${sidecar.ready.admin}/tap?${query}`);
  for (const [query, message] of [
    ['limit=0', /limit is a whole number from 1/],
    ['seconds=601', /seconds is a whole number from 1 to 600/],
    ['decision=maybe', /allow, deny or audit/],
    ['direction=up', /inbound or outbound/],
    ['colour=red', /unknown parameter colour/],
  ] as const) {
    const answer = await get(query);
    t.equal(answer.status, 400);
    t.match(await answer.text(), message);
  }
  const open = await Promise.all(Array.from({ length: MAX_TAPS }, () => tap(sidecar.ready.admin, '')));
  t.equal((await get('')).status, 429);
  open[0]?.leave();
  const head = () => fetch(`http://127.0.0.1:${sidecar.ready.admin}/tap`, { method: 'HEAD' });
  await until(async () => (await head()).status === 200);
  t.equal((await head()).status, 200, 'who only asks takes no place');
});

t.test('a query is read as it was written', async (t) => {
  for (const request of [ANY, { ...ANY, code: 'authorization_denied', decision: 'deny', direction: 'inbound' }]) {
    const given = { ...request, limit: 10 };
    t.same(readTapRequest(new URLSearchParams(tapQuery(given))), given);
  }
});

t.test('lines are wanted while somebody looks on', async (t) => {
  const log = new TappedLog(undefined);
  const heard: boolean[] = [];
  log.onWanted((isWanted) => heard.push(isWanted));
  const out = new PassThrough();
  log.open(ANY, out);
  out.destroy();
  await until(() => heard.length === 3);
  t.same(heard, [false, true, false]);
  t.notOk(log.isWanted);
});

const LINE = Buffer.from(`${JSON.stringify({ decision: 'allow', path: `/${'p'.repeat(1_000)}` })}\n`);

t.test('a second has its limit of lines; what is skipped is counted', async (t) => {
  const log = new TappedLog(undefined);
  const out = new PassThrough();
  out.resume();
  let last = '';
  out.on('data', (chunk) => {
    last = String(chunk);
  });
  log.open(ANY, out);
  for (let line = 0; line < MAX_TAP_LINES_A_SECOND + 5; line++) {
    log.write(LINE, () => {});
    if (line % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  log.close();
  await until(() => last.includes('tap_ended'));
  t.match(JSON.parse(last), { shown: MAX_TAP_LINES_A_SECOND, skipped: 5 });
});

t.test('a reader that does not read is given no more than may wait', async (t) => {
  const log = new TappedLog(undefined);
  const out = new PassThrough();
  log.open({ ...ANY }, out);
  for (let line = 0; line < MAX_TAP_LINES_A_SECOND; line++) log.write(Buffer.concat([LINE, LINE, LINE]), () => {});
  t.ok(out.writableLength + out.readableLength < MAX_WAITING_TAP_BYTES + 65_536);
  log.close();
});
