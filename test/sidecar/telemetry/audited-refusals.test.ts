import t from 'tap';
import { Metrics } from '#sidecar/telemetry/metrics.ts';

/** As many series as a counter has. */
const MAX_SERIES = 1_000;

/** What counting looks at of a TCP connection that policy would have refused. */
function passage(policy: string, rule: number | undefined) {
  const wouldRefuse = { code: 'authorization_denied', reason: '', by: { policy, rule } };
  return {
    direction: 'inbound',
    decision: 'audit',
    code: 'authorization_denied',
    bytesIn: 0,
    bytesOut: 0,
    wouldRefuse,
  } as never;
}

function counted(metrics: Metrics): string[] {
  return metrics
    .print()
    .split('\n')
    .filter((line) => line.startsWith('lateral_audited_refusals_total{'));
}

t.test('what all threads would have refused is added up, by policy and rule', async (t) => {
  const [one, other, total] = [new Metrics(), new Metrics(), new Metrics()];
  one.recordTcp(passage('shop/a', 0));
  one.recordTcp(passage('shop/a', 1));
  other.recordTcp(passage('shop/a', 1));
  for (const metrics of [one, other]) total.absorb(structuredClone(metrics.snapshot()));
  const of = (rule: number) => `direction="inbound",code="authorization_denied",policy="shop/a",rule="${rule}"`;
  t.strictSame(counted(total), [
    `lateral_audited_refusals_total{${of(0)}} 1`,
    `lateral_audited_refusals_total{${of(1)}} 2`,
  ]);
});

t.test('more series than there may be are counted together', async (t) => {
  const metrics = new Metrics();
  for (let index = 0; index < MAX_SERIES + 7; index++) metrics.recordTcp(passage(`shop/p${index}`, undefined));
  const lines = counted(metrics);
  t.equal(lines.length, MAX_SERIES + 1);
  t.equal(lines.at(-1), 'lateral_audited_refusals_total{code="other"} 7');
});
