import t from 'tap';
import { Http2Upstream } from '#sidecar/http/h2/upstream.ts';
import type { OutgoingRequest, ResponseHead } from '#sidecar/http/message.ts';
import { runProgram, startProgram } from '../../../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../../../support/go-tools.ts';
import { outgoingRequest, readWhole } from '../../../support/outgoing-request.ts';
import { patterned, startEcho } from './echo-listener.ts';
import { FedBody } from './session-runs.ts';

const SIZES = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 262_145, 1_000_000, 8 * 1_024 * 1_024];
/** Of `http2 ask`. */
const QUESTIONS = 7;

t.setTimeout(GO_TEST_TIMEOUT_MS);

t.test('beside golang.org/x/net/http2', async (t) => {
  const tools = await goTools(t, 'http2');
  if (tools === undefined) return;

  t.test('its client asks us', async (t) => {
    const echo = await startEcho(t);
    const { told, errors } = await runProgram(tools.http2, ['ask', '-to', `127.0.0.1:${echo.port}`]);
    const asked = told.filter(({ event }) => event === 'asked');
    t.equal(asked.length, QUESTIONS, errors);
    for (const { title, error } of asked) t.equal(error, null, `${title}`);
    t.strictSame(
      echo.abandoned.filter((path) => path !== '/early'),
      ['/hold'],
    );
  });

  t.test('we ask its server', async (t) => {
    const program = await startProgram(t, tools.http2, ['serve']);
    const upstream = new Http2Upstream({ address: '127.0.0.1', port: program.port });
    t.teardown(() => upstream.close());
    for (const size of SIZES) {
      const bytes = patterned(size);
      t.ok((await ask(upstream, 'GET', `/bytes/${size}`)).body.equals(bytes), `${size} bytes down`);
      t.ok((await ask(upstream, 'POST', '/back', bytes)).body.equals(bytes), `${size} bytes there and back`);
    }
    const answers = await Promise.all(
      Array.from({ length: 600 }, (_, index) => ask(upstream, 'POST', '/back', patterned(index * 100))),
    );
    t.ok(
      answers.every(({ body }, index) => body.equals(patterned(index * 100))),
      '600 at once, where it allows 250',
    );

    const body = new FedBody();
    const trailed = ask(upstream, 'PUT', '/back', body, ['trailer', 'X-Sum']);
    while (body.consumer === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    body.consumer.onChunk(Buffer.from('fed'));
    body.consumer.onEnd(['X-Sum', '1']);
    t.match(await trailed, { status: 200, trailers: ['x-sum', '1'] });

    const informed: ResponseHead[] = [];
    t.equal((await ask(upstream, 'GET', '/informed', null, [], (head) => informed.push(head))).status, 204);
    t.match(informed, [{ status: 103 }]);

    const early = new FedBody();
    const refused = ask(upstream, 'POST', '/early', early);
    t.equal((await refused).body.toString(), 'too much');

    const flight = upstream.send(outgoing('GET', '/hold', null, [], () => {}));
    await ask(upstream, 'GET', '/bytes/1');
    flight.cancel(new Error('not wanted'));
    await t.rejects(flight.response);
    await program.told({ event: 'cancelled' });
    t.equal((await ask(upstream, 'GET', '/bytes/100000')).body.length, 100_000);
  });
});

function outgoing(
  method: string,
  target: string,
  body: OutgoingRequest['body'],
  headers: readonly string[],
  onInformation: (head: ResponseHead) => void,
): OutgoingRequest {
  const all = ['host', 'server.test', ...headers];
  return outgoingRequest({ method, target, headers: all, version: '2' }, { body, onInformation });
}

async function ask(
  upstream: Http2Upstream,
  method: string,
  target: string,
  body: OutgoingRequest['body'] = null,
  headers: readonly string[] = [],
  onInformation: (head: ResponseHead) => void = () => {},
): Promise<{ status: number; body: Buffer; trailers: readonly string[] }> {
  const { head, body: incoming } = await upstream.send(outgoing(method, target, body, headers, onInformation)).response;
  return { status: head.status, ...(await readWhole(incoming)) };
}
