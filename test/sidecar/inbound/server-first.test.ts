import type net from 'node:net';
import t from 'tap';
import { ALLOW_ANYBODY, DISABLE, PERMISSIVE, startInbound } from '../../support/inbound-sidecar.ts';
import { tcpApp } from '../../support/tcp-app.ts';

/** A mail server's side of a dialogue: it greets, and answers each line. */
function mailServer(socket: net.Socket): void {
  socket.write('220 mail.test ready\r\n');
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
      const line = text.slice(0, end).trim();
      text = text.slice(end + 1);
      if (line === 'QUIT') socket.end('221 bye\r\n');
      else socket.write(`250 ${line}\r\n`);
    }
  });
}

/** As MySQL begins: a packet of the server, then the client's answer, in binary. */
function binaryServer(socket: net.Socket): void {
  socket.write(Buffer.from([0x05, 0x00, 0x00, 0x00, 0x0a, 0x38, 0x2e, 0x30, 0x00]));
  socket.once('data', (bytes) => socket.end(Buffer.concat([Buffer.from([0x00, 0x02]), Buffer.from(bytes)])));
}

/** What comes before the caller has said a byte. */
function firstOf(socket: net.Socket): Promise<Buffer> {
  return new Promise((resolve) => socket.once('data', resolve));
}

async function speakMail(socket: net.Socket): Promise<string> {
  const greeting = await firstOf(socket);
  socket.write('EHLO caller\r\n');
  const hello = await firstOf(socket);
  socket.write('QUIT\r\n');
  return `${greeting}${hello}${await firstOf(socket)}`;
}

async function speakBinary(socket: net.Socket): Promise<string> {
  const greeting = await firstOf(socket);
  // A client that begins TLS of its own would be taken for one of the mesh; one that has heard the server is not.
  socket.write(Buffer.from([0x16, 0x03, 0x01]));
  return Buffer.concat([greeting, await firstOf(socket)]).toString('hex');
}

const MAIL = '220 mail.test ready\r\n250 EHLO caller\r\n221 bye\r\n';
const BINARY = '050000000a382e3000' + '0002' + '160301';

const MODES = [
  ['STRICT', '', ['tls']],
  ['PERMISSIVE', PERMISSIVE, ['plain', 'tls']],
  ['DISABLE', DISABLE, ['plain']],
] as const;

for (const [mode, policy, callers] of MODES) {
  for (const caller of callers) {
    t.test(`${mode}, ${caller}: an app that speaks first does so before its caller has said a byte`, async (t) => {
      const mail = await tcpApp(t, mailServer);
      const sidecar = await startInbound(t, mail.port, 'tcp', ALLOW_ANYBODY + policy);
      const connect = () => (caller === 'tls' ? sidecar.connectTls('client') : sidecar.connectPlain());
      const socket = await connect();
      t.equal(await speakMail(socket), MAIL);
      socket.end();
      t.match(await sidecar.log(1), [{ decision: 'allow', method: null, source: caller === 'tls' ? /client$/ : null }]);
    });
  }
}

for (const [mode, policy, callers] of MODES) {
  if (mode === 'PERMISSIVE') continue;
  for (const caller of callers) {
    t.test(`${mode}, ${caller}: bytes like those of TLS that follow the server's are the app's`, async (t) => {
      const app = await tcpApp(t, binaryServer);
      const sidecar = await startInbound(t, app.port, 'tcp', ALLOW_ANYBODY + policy);
      const socket = await (caller === 'tls' ? sidecar.connectTls('client') : sidecar.connectPlain());
      t.equal(await speakBinary(socket), BINARY);
      socket.end();
    });
  }
}
