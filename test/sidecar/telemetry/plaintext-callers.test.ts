import t from 'tap';
import {
  CALLER_KEPT_MS,
  joinCallers,
  MAX_PLAINTEXT_CALLERS,
  PlaintextCallers,
} from '#sidecar/telemetry/plaintext-callers.ts';

function watched() {
  const clock = { now: 1_000_000 };
  return { clock, callers: new PlaintextCallers(() => clock.now) };
}

t.test('callers are told apart by address and port of the app, who was seen last first', (t) => {
  const { clock, callers } = watched();
  callers.port(80).connection('10.0.0.1');
  callers.port(80).request('10.0.0.1');
  clock.now += 1;
  callers.port(81).connection('10.0.0.1');
  clock.now += 1;
  callers.port(80).request('10.0.0.1');
  t.strictSame(callers.list(), [
    { address: '10.0.0.1', port: 80, connections: 1, requests: 2, lastSeenMs: 1_000_002 },
    { address: '10.0.0.1', port: 81, connections: 1, requests: 0, lastSeenMs: 1_000_001 },
  ]);
  t.end();
});

t.test('one that was not seen for a day is forgotten, and not what it has cost', (t) => {
  const { clock, callers } = watched();
  callers.port(80).connection('10.0.0.1');
  clock.now += CALLER_KEPT_MS;
  t.strictSame(callers.list(), []);
  t.match(callers.gauges[0]?.read(), [['{port="80"}', 1]]);
  t.end();
});

t.test('of too many the one is forgotten that was seen least recently', (t) => {
  const { clock, callers } = watched();
  const port = callers.port(80);
  for (let number = 0; number < MAX_PLAINTEXT_CALLERS; number++) {
    port.connection(`10.0.0.${number}`);
    clock.now += 1;
  }
  port.request('10.0.0.0');
  port.connection('10.0.1.0');
  const known = callers.list().map(({ address }) => address);
  t.equal(known.length, MAX_PLAINTEXT_CALLERS);
  t.ok(known.includes('10.0.0.0'), 'seen again meanwhile');
  t.notOk(known.includes('10.0.0.1'));
  t.end();
});

t.test('who scans ports does not fill the metrics', (t) => {
  const { callers } = watched();
  for (let port = 1; port <= 1_000; port++) callers.port(port).connection('10.0.0.1');
  const series = callers.gauges[0]?.read() ?? [];
  t.equal(series.length, 257);
  t.same(series.at(-1), ['{port="other"}', 1_000 - 256]);
  t.end();
});

t.test('callers of several threads are one', (t) => {
  const one = { address: '10.0.0.1', port: 80, connections: 1, requests: 2, lastSeenMs: 5 };
  const two = { address: '10.0.0.2', port: 80, connections: 1, requests: 1, lastSeenMs: 6 };
  t.strictSame(joinCallers([[one], [{ ...one, lastSeenMs: 7 }, two]]), [
    { address: '10.0.0.1', port: 80, connections: 2, requests: 4, lastSeenMs: 7 },
    two,
  ]);
  t.end();
});
