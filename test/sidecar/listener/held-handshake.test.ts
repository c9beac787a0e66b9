import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import type { MtlsMode } from '#policy/workload-policy.ts';
import { HANDSHAKE_HELD_MS, holdHandshake } from '#sidecar/listener/held-handshake.ts';
import type { Lane } from '#sidecar/listener/lane.ts';
import { listen, portOf } from '../../support/free-ports.ts';

/** A lane that answers these modes, one after the other; the last one for good. */
function laneOf(...modes: MtlsMode[]): Lane {
  const never = () => {
    throw new Error('nothing is served here');
  };
  return {
    protocol: 'http',
    mode: () => (modes.length > 1 ? modes.shift() : modes[0]) ?? 'DISABLE',
    onRequest: never,
    onUnreadable: never,
    onTcp: never,
    onRefusedConnection: never,
  };
}

async function acceptedSocket(t: Test): Promise<{ readonly accepted: net.Socket; readonly caller: net.Socket }> {
  const server = await listen(net.createServer());
  t.teardown(() => server.close());
  const caller = net.connect(portOf(server), '127.0.0.1');
  const [accepted] = await once(server, 'connection');
  t.teardown(() => caller.destroy());
  t.teardown(() => accepted.destroy());
  return { accepted, caller };
}

t.test('a handshake goes on as soon as TLS is spoken', async (t) => {
  const { accepted } = await acceptedSocket(t);
  const isSpoken = await new Promise((resolve) =>
    holdHandshake(laneOf('DISABLE', 'DISABLE', 'PERMISSIVE'), accepted, resolve),
  );
  t.equal(isSpoken, true);
});

t.test('it waits no longer than it may', async (t) => {
  const { accepted } = await acceptedSocket(t);
  const startedAt = performance.now();
  const isSpoken = await new Promise((resolve) => holdHandshake(laneOf('DISABLE'), accepted, resolve));
  t.equal(isSpoken, false);
  t.ok(performance.now() - startedAt >= HANDSHAKE_HELD_MS);
});

t.test('a caller that leaves is waited for no more', async (t) => {
  const { accepted, caller } = await acceptedSocket(t);
  let calls = 0;
  let asked = 0;
  const lane = laneOf('DISABLE');
  const counting: Lane = {
    ...lane,
    mode() {
      asked++;
      return lane.mode();
    },
  };
  holdHandshake(counting, accepted, () => calls++);
  accepted.resume();
  caller.destroy();
  await once(accepted, 'close');
  const before = asked;
  await new Promise((resolve) => setTimeout(resolve, HANDSHAKE_HELD_MS + 100));
  t.strictSame([calls, asked], [0, before]);
});
