import { Socket } from 'node:net';
import t from 'tap';
import type { MtlsMode } from '#policy/workload-policy.ts';
import type { ServedConnection } from '#sidecar/http/served-connection.ts';
import type { Lane } from '#sidecar/listener/lane.ts';
import { PLAINTEXT_END_MS, PlaintextConnections } from '#sidecar/listener/plaintext-connections.ts';

function opened() {
  const never = () => {
    throw new Error('nothing is served here');
  };
  const state: { mode: MtlsMode; drained: number } = { mode: 'PERMISSIVE', drained: 0 };
  const lane: Lane = {
    protocol: 'auto',
    mode: () => state.mode,
    onRequest: never,
    onUnreadable: never,
    onTcp: never,
    onRefusedConnection: never,
  };
  const [http, tcp] = [new Socket(), new Socket()];
  const connection: ServedConnection = {
    socket: http,
    state: { kind: 'idle', since: 0 },
    drain: () => {
      state.drained++;
    },
    refuse: never,
  };
  const connections = new PlaintextConnections();
  connections.add(http, lane, connection);
  connections.add(tcp, lane);
  const cut = () => [http.destroyed, tcp.destroyed];
  return { state, connections, http, tcp, cut };
}

t.test('when a port becomes STRICT its plaintext connections end politely, and are cut in the end', async (t) => {
  const { state, connections, cut } = opened();
  connections.sweep(0);
  state.mode = 'STRICT';
  connections.sweep(1_000);
  connections.sweep(999 + PLAINTEXT_END_MS);
  t.strictSame([state.drained, cut()], [1, [false, false]]);
  connections.sweep(1_000 + PLAINTEXT_END_MS);
  t.strictSame([state.drained, cut()], [1, [true, true]]);
});

t.test('those of a port that takes plaintext go on', async (t) => {
  const { state, connections, cut } = opened();
  for (const mode of ['PERMISSIVE', 'DISABLE'] as const) {
    state.mode = mode;
    connections.sweep(2 * PLAINTEXT_END_MS);
  }
  state.mode = 'STRICT';
  connections.sweep(3 * PLAINTEXT_END_MS);
  state.mode = 'PERMISSIVE';
  connections.sweep(5 * PLAINTEXT_END_MS);
  t.strictSame(cut(), [false, false], 'also where it was STRICT for a moment');
});

t.test('one that turned out to be TLS is none of them', async (t) => {
  const { state, connections, http, cut } = opened();
  connections.delete(http);
  state.mode = 'STRICT';
  connections.sweep(0);
  connections.sweep(PLAINTEXT_END_MS);
  t.strictSame([state.drained, cut()], [0, [false, true]]);
});
