import t from 'tap';
import { ALLOW_ANYBODY, readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startApp } from '../../support/start-app.ts';

const SECRET = 'tok-3f9a1c';

t.test('what cannot be read is told without what may be a secret in it', async (t) => {
  const app = await startApp(t, (_request, response) => response.end('reached'));
  const sidecar = await startInbound(t, app.port, 'http', ALLOW_ANYBODY);
  const requests = [
    `GET /a b?access_token=${SECRET} HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET /a?access_token=${SECRET} HTTP/1.1x\r\nhost: a\r\n\r\n`,
    `authorization: Bearer ${SECRET}\r\nhost: a\r\n\r\n`,
    `cookie: session=${SECRET}\r\nhost: a\r\n\r\n`,
    `GET http://user:${SECRET}@a/x HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET http://user:${SECRET}@a/x?token=${SECRET} HTTP/1.1\r\nhost: user:${SECRET}@a\r\n\r\n`,
    `GET /a#access_token=${SECRET} HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET /a?b=1&token=${SECRET}#x HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: a\r\nauthorization Bearer ${SECRET}\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${SECRET}\u0001\r\n\r\n`,
    `GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\nauthorization: Bearer ${SECRET}\r\n\r\n`,
  ];
  for (const request of requests) {
    const caller = await sidecar.connectTls('client');
    caller.end(request);
    t.match(await readAll(caller), /^HTTP\/1\.1 400 /, request);
  }
  const lines = await sidecar.log(requests.length);
  const decisions = await (await fetch(`http://127.0.0.1:${sidecar.adminPort}/decisions`)).text();
  for (const [index, line] of lines.entries()) t.notMatch(JSON.stringify(line), SECRET, requests[index] ?? '');
  t.notMatch(decisions, SECRET);
  t.match(lines[0]?.reason, /not a request line: "GET \/a b\?…"/, 'the rest is told');
});
