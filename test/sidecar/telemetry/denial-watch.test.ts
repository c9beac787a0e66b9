import t from 'tap';
import type { DecisionRecord } from '#proto/gen/lateral/v1/observation.ts';
import { type DenialAlert, DenialWatch, MAX_WATCHED_CALLERS, WINDOW_MS } from '#sidecar/telemetry/denial-watch.ts';

const WEB = 'spiffe://cluster.local/ns/shop/sa/web';

function denial(timeMs: number, change: Partial<DecisionRecord> = {}): DecisionRecord {
  return {
    decisionId: `id-${timeMs}`,
    timeMs,
    direction: 'inbound',
    decision: 'deny',
    code: 'authorization_not_allowed',
    method: 'GET',
    host: 'orders',
    path: '/orders',
    status: 403,
    source: WEB,
    destination: '',
    policy: '',
    rule: -1,
    reason: '',
    traceId: '',
    sourceIp: '10.0.0.7',
    ...change,
  };
}

function watching(limits = { refusals: 20, distinctPaths: 20 }) {
  const alerts: DenialAlert[] = [];
  const watch = new DenialWatch(
    () => limits,
    (alert) => alerts.push(alert),
  );
  return { watch, alerts };
}

t.test('refusals beyond the limit within a minute are one event, with the evidence', async (t) => {
  const { watch, alerts } = watching();
  for (let index = 0; index < 20; index++) watch.recordConnection(denial(1_000 + index));
  t.same(alerts, [], 'as many as may be');
  for (let index = 20; index < 200; index++) watch.recordConnection(denial(1_000 + index));
  t.match(alerts, [
    {
      kind: 'refusals',
      caller: WEB,
      sourceIp: '10.0.0.7',
      refusals: 21,
      distinctPaths: 1,
      codes: ['authorization_not_allowed'],
      paths: ['/orders'],
    },
  ]);
  t.equal(alerts[0]?.decisionIds.at(-1), 'id-1020');
  t.same(
    [...watch.counts],
    [
      ['refusals', 1],
      ['paths', 0],
    ],
  );
});

t.test('who looks what is there is told of by the paths, also below the limit of refusals', async (t) => {
  const { watch, alerts } = watching({ refusals: 1_000, distinctPaths: 5 });
  for (let index = 0; index < 6; index++) {
    watch.recordConnection(denial(index, { path: `/v1/${index}`, code: 'undocumented_path' }));
    watch.recordConnection(denial(index, { path: `/v1/${index}`, code: 'undocumented_path' }));
  }
  t.match(alerts, [{ kind: 'paths', distinctPaths: 6, refusals: 11, codes: ['undocumented_path'] }]);
});

t.test('no event: slowly, by several, outbound, or where the limits are 0', async (t) => {
  const { watch, alerts } = watching();
  for (let index = 0; index < 100; index++) watch.recordConnection(denial(index * (WINDOW_MS / 19)));
  for (let index = 0; index < 100; index++) watch.recordConnection(denial(index, { source: `${WEB}${index % 10}` }));
  for (let index = 0; index < 100; index++)
    watch.recordConnection(denial(index, { direction: 'outbound', source: 'x' }));
  const off = watching({ refusals: 0, distinctPaths: 0 });
  for (let index = 0; index < 100; index++) off.watch.recordConnection(denial(index, { path: `/${index}` }));
  t.same([...alerts, ...off.alerts], []);
});

t.test('it is told again after a minute of peace, not while it goes on', async (t) => {
  const { watch, alerts } = watching({ refusals: 2, distinctPaths: 0 });
  let now = 0;
  const many = (count: number, stepMs: number) => {
    for (let index = 0; index < count; index++) {
      now += stepMs;
      watch.recordConnection(denial(now));
    }
  };
  many(300, 1_000);
  t.equal(alerts.length, 1);
  now += WINDOW_MS;
  many(3, 1);
  t.equal(alerts.length, 2);
});

t.test('callers without an identity are told apart by address; how many are watched has a bound', async (t) => {
  const { watch, alerts } = watching({ refusals: 1, distinctPaths: 0 });
  watch.recordConnection(denial(0, { source: '', sourceIp: '10.0.0.1' }));
  for (let index = 0; index < MAX_WATCHED_CALLERS; index++) watch.recordConnection(denial(1, { source: `x${index}` }));
  watch.recordConnection(denial(2, { source: '', sourceIp: '10.0.0.1' }));
  t.same(alerts, [], 'forgotten meanwhile');
  watch.absorb({
    decisions: [denial(3, { source: '', sourceIp: '10.0.0.1' })],
    counts: [],
    droppedDecisions: 0,
    rules: [],
  });
  t.match(alerts, [{ caller: '10.0.0.1' }]);
});
