import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { replayCommand } from '#cli/commands/replay.ts';
import type { ReplayReport } from '#cli/replay/replay-tally.ts';

type Fields = { readonly [field: string]: unknown };

export const WORKLOAD = { namespace: 'shop', name: 'orders-7d9f', labels: { app: 'orders' } };
export const WEB = 'spiffe://cluster.local/ns/shop/sa/web';
const ORDERS = 'spiffe://cluster.local/ns/shop/sa/orders';

/** A line of the access log of a sidecar of shop, of an allowed request unless `fields` say otherwise. */
export function line(fields: Fields = {}, inputs: Fields = {}): string {
  return JSON.stringify({
    ...{ time: '2026-11-01T00:00:00.000Z', direction: 'inbound', decision: 'allow', decisionId: '00112233445566aa' },
    ...{ code: 'allowed', method: 'GET', host: 'orders.shop', path: '/orders/1', status: 200, source: WEB },
    ...{ destination: ORDERS, port: 8080, sourceIp: '10.0.0.7', bytesIn: 0, bytesOut: 5, durationMs: 1, traceId: null },
    stages: { accept: 0.1, identify: 0.1, route: 0.1, authorize: 0.1, validate: 0.1, forward: 0.1, respond: 0.1 },
    inputs: { workload: WORKLOAD, ...inputs },
    ...{ policy: 'shop/reads', rule: 0 },
    ...fields,
  });
}

/** Of a refusal for want of a match. */
export function refused(fields: Fields = {}, inputs: Fields = {}): string {
  const stages = { accept: 0.1, identify: 0.1, route: 0.1, authorize: 0.1 };
  return line({ decision: 'deny', code: 'authorization_not_allowed', stages, status: 403, ...fields }, inputs);
}

export function policy(name: string, spec: string, group = 'lateral.dev/v1alpha1'): string {
  return `apiVersion: ${group}\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: shop}\nspec: ${spec}\n`;
}

export function defaults(spec: string): string {
  return `apiVersion: lateral.dev/v1alpha1\nkind: MeshDefaults\nmetadata: {name: default, namespace: lateral-system}\nspec: ${spec}\n`;
}

export interface Replayed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly report: ReplayReport;
}

/** Runs `lateral replay` over lines, or over bytes as they are. */
export async function replay(
  t: Test,
  lines: readonly string[] | Buffer,
  policies: readonly string[],
  ...more: readonly string[]
): Promise<Replayed> {
  const root = t.testdir({ policies: { 'a.yaml': policies.join('---\n') } });
  const log = join(root, 'access.jsonl');
  await writeFile(log, Buffer.isBuffer(lines) ? lines : lines.map((text) => `${text}\n`).join(''));
  return runReplay('--log', log, '--policies', join(root, 'policies'), '--json', ...more);
}

export async function runReplay(...args: readonly string[]): Promise<Replayed> {
  let stdout = '';
  let stderr = '';
  const io = { stdout: (text: string) => (stdout += text), stderr: (text: string) => (stderr += text) };
  const code = await replayCommand.run(args, io);
  return { code, stdout, stderr, report: args.includes('--json') ? JSON.parse(stdout) : {} };
}
