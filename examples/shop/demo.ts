import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { untilToldToStop } from '#cli/until-told-to-stop.ts';
import { type Check, runChecks } from './checks.ts';
import { Shop, WORKLOADS } from './shop.ts';
import { openTraceSink, printTree, type SeenSpan, type TraceSink } from './trace-sink.ts';
import { callThrough } from './wire.ts';

const HELP = `Usage: npm run demo -- [--once] [--json]

Starts a control plane and the example shop (client -> web -> orders -> payments), each workload behind its own
sidecar, on loopback; drives calls that must pass and calls that must be refused; shows what came of each.

  --once   end after the traffic; exit 0 only if every outcome was as expected
  --json   the last line is {"checks":[{"name","expected","actual","ok"}]}
`;

/** Where Jaeger and other collectors take OTLP over gRPC. */
const COLLECTOR_PORT = 4317;
const JAEGER_UI = 'http://127.0.0.1:16686';
/** Spans leave a sidecar every 2 s. */
const SPANS_TIMEOUT_MS = 6_000;
/** Four sidecars, each hop a server and a client span: client, web in, web out, orders in, orders out, payments in. */
const EXPECTED_SPANS = 12;

const { values } = parseArgs({
  options: { once: { type: 'boolean' }, json: { type: 'boolean' }, help: { type: 'boolean' } },
});
if (values.help === true) {
  process.stdout.write(HELP);
} else {
  process.exitCode = await demo(values.once === true, values.json === true);
}

async function demo(once: boolean, asJson: boolean): Promise<number> {
  const say = (text: string) => process.stdout.write(`${text}\n`);
  const told = untilToldToStop();
  const startedAt = performance.now();
  const hasCollector = await answers(COLLECTOR_PORT);
  const sink = hasCollector ? undefined : await openTraceSink();
  const shop = await Shop.prepare(`http://127.0.0.1:${sink?.port ?? COLLECTOR_PORT}`);
  const checks: Check[] = [];
  try {
    await shop.start((step) => say(`starting  ${step}`));
    say(`ready     after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s\n`);
    const onCheck = (check: Check) => {
      checks.push(check);
      say(row(check));
    };
    await runChecks(shop, onCheck);
    await traces(shop, sink, onCheck, say);
    const failed = checks.filter((check) => !check.ok).length;
    say(
      `\n${checks.length - failed} of ${checks.length} as expected, after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`,
    );
    if (!once) {
      say(whereNext(shop, hasCollector));
      await told.promise;
    }
    return failed === 0 ? 0 : 1;
  } finally {
    await shop.stop();
    sink?.close();
    if (asJson)
      say(JSON.stringify({ checks: checks.map(({ name, expected, actual, ok }) => ({ name, expected, actual, ok })) }));
  }
}

function row({ name, expected, actual, ok, reason }: Check): string {
  const outcome = ok ? actual : `${actual} (expected ${expected})`;
  return `${ok ? 'ok    ' : 'WRONG '} ${name.padEnd(66)} ${outcome}${reason === '' ? '' : `\n       why: ${reason}`}`;
}

/** One call through three services: every hop is in one trace, each span under the one that caused it. */
async function traces(
  shop: Shop,
  sink: TraceSink | undefined,
  onCheck: (check: Check) => void,
  say: (text: string) => void,
): Promise<void> {
  const traceId = crypto.randomUUID().replaceAll('-', '');
  const traceparent = `00-${traceId}-00000000000000d1-01`;
  await callThrough(
    shop.ports.client.outbound,
    'POST',
    'web.shop',
    '/checkout',
    { item: 'lamp', quantity: 1 },
    traceparent,
  );
  if (sink === undefined) {
    say(`\nTraces: ${JAEGER_UI}/trace/${traceId}`);
    return;
  }
  const ofTrace = () => sink.spans.filter((span) => span.traceId === traceId);
  const deadline = performance.now() + SPANS_TIMEOUT_MS;
  while (ofTrace().length < EXPECTED_SPANS && performance.now() < deadline) await sleep(100);
  const spans = ofTrace();
  const expected = `${EXPECTED_SPANS} spans in one tree`;
  const roots = spans.filter((span) => !spans.some(({ spanId }) => spanId === span.parentSpanId));
  const actual = `${spans.length} spans in ${roots.length === 1 && isUnder(roots, '00000000000000d1') ? 'one tree' : `${roots.length} trees`}`;
  onCheck({
    name: 'the trace of one checkout, from the client to payments',
    expected,
    actual,
    ok: actual === expected,
    reason: '',
  });
  say(
    `\nNo collector answers on ${COLLECTOR_PORT} (a Jaeger there would be used); the trace as it was exported:\n\n${printTree(spans)}`,
  );
}

function isUnder(roots: readonly SeenSpan[], parentSpanId: string): boolean {
  return roots.every((root) => root.parentSpanId === parentSpanId);
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function whereNext(shop: Shop, hasCollector: boolean): string {
  const { client, web } = shop.ports;
  const ports = WORKLOADS.map(
    (name) =>
      `  ${name.padEnd(9)} admin http://127.0.0.1:${shop.ports[name].admin}/config  metrics http://127.0.0.1:${shop.ports[name].metrics}/metrics`,
  );
  return `
It runs until Ctrl-C. Try:
  curl -x http://127.0.0.1:${client.outbound} http://web.shop/catalog        a call as the client makes it
  curl http://127.0.0.1:${web.app}/debug/env                      the shadow endpoint, asked for behind the mesh's back
  edit ${shop.policies}/web.yaml      and call again: in force in under two seconds
  curl http://127.0.0.1:${shop.consolePort}/proxies                       which sidecar has which version
${ports.join('\n')}${hasCollector ? `\n  traces ${JAEGER_UI}` : ''}
Read next: README.md, ARCHITECTURE.md`;
}
