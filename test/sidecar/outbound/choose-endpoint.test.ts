import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Endpoint } from '#policy/workload-policy.ts';
import { chooseEndpoint, type EndpointLoad } from '#sidecar/outbound/choose-endpoint.ts';

const NOW = 1_000;
const endpoints: readonly Endpoint[] = [1, 2, 3, 4].map((port) => ({
  address: '127.0.0.1',
  port,
  identity: spiffeId('cluster.local', 'test', 'server'),
  hasSidecar: true,
  labels: {},
}));

/** How often each port was chosen in `rounds` draws; `loads` by port. */
function chosen(
  loads: { [port: number]: Partial<EndpointLoad> },
  tried: readonly Endpoint[] = [],
): Map<number, number> {
  const counts = new Map<number, number>();
  const loadOf = ({ port }: Endpoint) => ({ inFlight: 0, unreachableUntil: 0, ...loads[port] });
  for (let round = 0; round < 4_000; round++) {
    const port = chooseEndpoint(endpoints, loadOf, tried, NOW, Math.random)?.port ?? 0;
    counts.set(port, (counts.get(port) ?? 0) + 1);
  }
  return counts;
}

t.test('equal loads are spread over all endpoints', async (t) => {
  for (const [port, count] of chosen({})) t.ok(count > 800 && count < 1_200, `${port}: ${count} of 4000`);
  t.equal(chosen({}).size, 4);
});

t.test('of two the one with fewer requests in flight: the busiest is never chosen', async (t) => {
  t.notOk(chosen({ 3: { inFlight: 5 } }).has(3));
});

t.test('what was just unreachable is passed over while there are others', async (t) => {
  const away = { unreachableUntil: NOW + 1 };
  t.strictSame([...chosen({ 1: away, 2: away, 4: away }).keys()], [3]);
  t.equal(chosen({ 1: away, 2: away, 3: away, 4: away }).size, 4, 'all are tried where none is reachable');
});

t.test('what was tried is not chosen again; none is left when all were', async (t) => {
  t.strictSame([...chosen({}, endpoints.slice(1)).keys()], [1]);
  t.strictSame([...chosen({}, endpoints).keys()], [0]);
});
