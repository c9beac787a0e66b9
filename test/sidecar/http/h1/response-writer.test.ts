import { connect, createServer } from 'node:net';
import t from 'tap';
import { ResponseWriter, type WriterSituation } from '#sidecar/http/h1/response-writer.ts';
import type { OutgoingBody, ResponseHead } from '#sidecar/http/message.ts';
import { listen, portOf } from '../../../support/free-ports.ts';

const GET: WriterSituation = { method: 'GET', version: '1.1', isClosing: false };

/** What a caller receives when `use` writes a response on its connection; the events are told in words. */
async function written(
  head: ResponseHead,
  situation: WriterSituation,
  use: (body: OutgoingBody) => void,
): Promise<{ readonly text: string; readonly events: readonly string[] }> {
  const events: string[] = [];
  const server = await listen(
    createServer((socket) => {
      socket.on('error', () => {});
      const writer = new ResponseWriter(socket, head, situation, {
        onEnd: (isClosing) => {
          events.push(isClosing ? 'end, closing' : 'end');
          socket.end();
        },
        onAbort: (isReset) => {
          events.push(isReset ? 'abort by reset' : 'abort');
          socket.destroy();
        },
      });
      use(writer);
    }),
  );
  const text = await new Promise<string>((resolve) => {
    let all = '';
    const socket = connect(portOf(server), '127.0.0.1');
    socket.on('data', (chunk) => {
      all += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(all));
  });
  server.close();
  return { text: text.replace(/date: [^\r]*\r\n/, ''), events };
}

const head = (...headers: string[]): ResponseHead => ({ status: 200, reason: '', headers });

t.test('a length, chunks or the end of the connection tell where an answer ends', async (t) => {
  const hello = (body: OutgoingBody) => {
    body.write(Buffer.from('hello'));
    body.end(['X-T', '1']);
  };
  t.strictSame(await written(head('Content-Length', '5'), GET, hello), {
    text: 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    events: ['end'],
  });
  t.strictSame(await written(head('X-A', 'b'), GET, hello), {
    text: 'HTTP/1.1 200 OK\r\nX-A: b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
    events: ['end'],
  });
  t.strictSame(await written(head('X-A', 'b'), { ...GET, version: '1.0' }, hello), {
    text: 'HTTP/1.1 200 OK\r\nX-A: b\r\nconnection: close\r\n\r\nhello',
    events: ['end, closing'],
  });
});

t.test('answers without a body have none, whatever is written', async (t) => {
  const hello = (body: OutgoingBody) => {
    body.write(Buffer.from('hello'));
    body.end([]);
  };
  t.equal(
    (await written(head('Content-Length', '5'), { ...GET, method: 'HEAD' }, hello)).text,
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
  );
  t.equal(
    (await written({ status: 204, reason: '', headers: ['Content-Length', '5'] }, GET, hello)).text,
    'HTTP/1.1 204 No Content\r\n\r\n',
    'and a 204 declares none',
  );
});

t.test('not one byte beyond the declared length leaves, and fewer end the connection', async (t) => {
  const more = await written(head('Content-Length', '5'), GET, (body) => {
    body.write(Buffer.from('hello'));
    body.write(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'));
    body.end([]);
  });
  t.notMatch(more.text, /hello./s);
  t.strictSame(more.events, ['abort']);
  const fewer = await written(head('Content-Length', '5'), GET, (body) => {
    body.write(Buffer.from('hell'));
    body.end([]);
  });
  t.strictSame(fewer.events, ['abort']);
});
