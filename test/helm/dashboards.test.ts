import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createWebhookMetrics, webhookMetricLines } from '#control-plane/webhook/webhook-metrics.ts';
import { isRecord } from '#policy/schema/schema.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'helm/lateral/dashboards');
/** Where metrics are named. */
const SOURCES = ['sidecar/telemetry', 'control-plane/status'];

const sources = SOURCES.flatMap((name) =>
  readdirSync(join(root, name)).map((file) => readFileSync(join(root, name, file), 'utf8')),
).join('\n');
const quoted = [...sources.matchAll(/['`\s]((?:lateral|process)_[a-z_]+)/g)].map((match) => match[1]);
const short = [...sources.matchAll(/(single|series)\(\s*'([a-z_]+)'/g)].map(
  ([, maker, name]) => `lateral_control_plane_${maker === 'series' ? 'kubernetes_' : ''}${name}`,
);
const ofWebhooks = webhookMetricLines(createWebhookMetrics()).flatMap((line) => /^# TYPE (\S+)/.exec(line)?.[1] ?? []);
const known = new Set([...quoted, ...short, ...ofWebhooks]);

function* queries(value: unknown): Generator<string> {
  if (Array.isArray(value)) for (const entry of value) yield* queries(entry);
  if (!isRecord(value)) return;
  for (const [key, entry] of Object.entries(value)) {
    if ((key === 'expr' || key === 'query') && typeof entry === 'string') yield entry;
    else yield* queries(entry);
  }
}

for (const file of readdirSync(folder)) {
  const dashboard: unknown = JSON.parse(readFileSync(join(folder, file), 'utf8'));

  t.test(`${file} asks only for metrics that exist`, async (t) => {
    const asked = [...queries(dashboard)].flatMap((query) => query.match(/\b(?:lateral|process)_[a-z_]+/g) ?? []);
    t.ok(asked.length > 5);
    for (const name of new Set(asked)) {
      t.ok(known.has(name) || known.has(name.replace(/_(bucket|sum|count)$/, '')), name);
    }
  });

  t.test(`${file} has panels that do not lie on each other, each with a title and an explanation`, async (t) => {
    const panels =
      isRecord(dashboard) && Array.isArray(dashboard['panels']) ? dashboard['panels'].filter(isRecord) : [];
    const places = panels.map(({ gridPos }) => (isRecord(gridPos) ? `${gridPos['x']} ${gridPos['y']}` : ''));
    t.equal(new Set(places).size, panels.length);
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const { title, description } of panels) t.ok(title && description, String(title));
  });
}

t.test('a metric that does not exist would be found', async (t) => {
  t.ok(known.has('lateral_requests_total') && known.has('lateral_control_plane_resources'));
  t.notOk(known.has('lateral_request_total'));
});
