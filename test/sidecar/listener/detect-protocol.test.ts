import t from 'tap';
import { isTls, MAX_FIRST_LINE_BYTES, openingOf } from '#sidecar/listener/detect-protocol.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

const OPENINGS: readonly (readonly [string, string | Buffer, ReturnType<typeof openingOf>])[] = [
  ['a request', 'GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n', 'http1'],
  ['a request of HTTP/1.0', 'GET / HTTP/1.0\r\n', 'http1'],
  ['a request with bytes above ASCII', Buffer.from('GET /\u00fc HTTP/1.1\r\n'), 'http1'],
  ['the HTTP/2 preface', `${PREFACE}frames`, 'http2'],
  ['a preface that goes wrong', 'PRI * HTTP/2.0\r\n\r\nXX', 'almost-http'],
  ['a request behind empty lines, which many servers skip', '\r\n\nGET / HTTP/1.1\r\n', 'almost-http'],
  ['a request behind a space', ' GET / HTTP/1.1\r\n', 'almost-http'],
  ['tabs', 'GET\t/\tHTTP/1.1\r\n', 'almost-http'],
  ['a line ended by CR alone', 'GET / HTTP/1.1\rHost: a\r\n', 'http1'],
  ['lower case', 'get / http/1.1\r\n', 'almost-http'],
  ['white space behind the version', 'GET / HTTP/1.1 \r\n', 'almost-http'],
  ['a version that is none of ours', 'GET / HTTP/3.0\r\n', 'almost-http'],
  ['a line too long to wait for', `GET /${'a'.repeat(MAX_FIRST_LINE_BYTES)}`, 'almost-http'],
  ['a method without an end', 'A'.repeat(300), 'almost-http'],
  ['empty lines without an end', '\r\n'.repeat(150), 'almost-http'],
  ['HTTP/0.9, which has no header to forge', 'GET /\r\n', 'other'],
  ['redis', '*1\r\n$4\r\nPING\r\n', 'other'],
  ['redis, inline', 'PING\r\n', 'other'],
  ['memcached', 'get key\r\n', 'other'],
  ['SMTP', 'EHLO example.com\r\n', 'other'],
  ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 'other'],
  ['PostgreSQL', Buffer.from('0000000804d2162f', 'hex'), 'other'],
  ['AMQP', Buffer.from('AMQP\0\0\x09\x01'), 'other'],
  ['LDAP', Buffer.from('300e020101', 'hex'), 'other'],
  ['LDAP, where a length looks like a space', Buffer.from('3020020101', 'hex'), undefined],
  ['MongoDB', Buffer.from('41000000010000', 'hex'), 'other'],
  ['a TLS handshake', Buffer.from('1603010200', 'hex'), 'other'],
  ['JSON', '{"jsonrpc"', 'other'],
  ['nothing yet', '', undefined],
  ['a method so far', 'GET', undefined],
  ['a line so far', 'GET / HTTP/1.1', undefined],
  ['a preface so far', PREFACE.slice(0, -1), undefined],
];

for (const [title, bytes, wanted] of OPENINGS) {
  t.test(`${title}: ${wanted ?? 'not known yet'}`, async (t) => {
    t.equal(openingOf(Buffer.from(bytes)), wanted);
  });
}

t.test('an answer, once given, is the same at every later byte, and it comes at the same byte', async (t) => {
  for (const [title, bytes, wanted] of OPENINGS) {
    const all = Buffer.from(bytes);
    if (all.length > 1_000) continue;
    const answers = Array.from({ length: all.length + 1 }, (_, length) => openingOf(all.subarray(0, length)));
    const first = answers.findIndex((answer) => answer !== undefined);
    if (first === -1) continue;
    t.ok(
      answers.slice(first).every((answer) => answer === wanted),
      title,
    );
  }
});

t.test('TLS is told by two bytes', async (t) => {
  t.equal(isTls(Buffer.from('')), undefined);
  t.equal(isTls(Buffer.from('16', 'hex')), undefined);
  t.equal(isTls(Buffer.from('1603', 'hex')), true);
  t.equal(isTls(Buffer.from('1602', 'hex')), false);
  t.equal(isTls(Buffer.from('GET ')), false);
});
