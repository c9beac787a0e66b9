import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { foreignCredentials } from './foreign-credentials.ts';
import { end } from './processes.ts';
import type { Shop, WorkloadName } from './shop.ts';
import { callOverTls, callPlain, callThrough, type Outcome } from './wire.ts';

export interface Check {
  /** In plain words. */
  readonly name: string;
  readonly expected: string;
  /** What was observed on the wire. */
  readonly actual: string;
  readonly ok: boolean;
  /** Why, as the operator finds it in the access log; empty where nothing was refused. */
  readonly reason: string;
}

/** A policy change must be in force within this. */
const PROPAGATION_LIMIT_MS = 2_000;
/** A sidecar asks for its control plane again at the latest after 5 s; the rest is for a busy machine. */
const RECONNECT_LIMIT_MS = 10_000;
/** `control_plane_connected`, `control_plane_lost` or `control_plane_unreachable`. */
const CONTROL_PLANE_EVENT = '"event":"control_plane_';
const POLL_MS = 20;
/** The access log is written within this. */
const REASON_TIMEOUT_MS = 1_000;
const ORDER = { item: 'book', quantity: 2 };

/** Drives real traffic through the shop, one check after the other; `onCheck` hears each result. */
export async function runChecks(shop: Shop, onCheck: (check: Check) => void): Promise<void> {
  const tell = async (name: string, expected: string, outcome: Promise<Outcome> | Outcome, at?: WorkloadName) => {
    const seen = await outcome;
    const actual = shown(seen);
    onCheck({
      name,
      expected,
      actual,
      ok: actual === expected,
      reason: at === undefined ? '' : await reasonOf(shop, at, seen),
    });
  };
  const client = shop.ports.client.outbound;

  await tell('client asks web for its catalog', '200', callThrough(client, 'GET', 'web.shop', '/catalog'));
  await tell(
    'client checks out: web -> orders -> payments',
    '201',
    callThrough(client, 'POST', 'web.shop', '/checkout', ORDER),
  );
  await tell('web reads an order', '200', callThrough(shop.ports.web.outbound, 'GET', 'orders.shop', '/orders/1'));

  await tell(
    'client calls payments, which only orders may',
    '403 authorization_not_allowed',
    callThrough(client, 'POST', 'payments.shop', '/payments', {}),
    'payments',
  );
  await tell(
    'web deletes an order: no rule allows DELETE',
    '403 authorization_not_allowed',
    callThrough(shop.ports.web.outbound, 'DELETE', 'orders.shop', '/orders/1'),
    'orders',
  );
  await tell(
    'a caller with no certificate',
    'connection closed without an answer',
    callOverTls(shop.ports.payments.inbound, '/payments/p-1', undefined),
    'payments',
  );
  await tell(
    'a caller in plaintext',
    'connection closed without an answer',
    callPlain(shop.ports.payments.inbound, '/payments/p-1'),
    'payments',
  );
  await tell(
    'a certificate of a foreign trust domain',
    'connection closed without an answer',
    callOverTls(shop.ports.payments.inbound, '/payments/p-1', foreignCredentials()),
    'payments',
  );
  await tell(
    'a wrong body: quantity is a word',
    '400 invalid_body',
    callThrough(client, 'POST', 'web.shop', '/checkout', { item: 'book', quantity: 'two' }),
    'web',
  );
  await tell(
    'a wrong parameter: the order id is no number',
    '400 invalid_parameter',
    callThrough(shop.ports.web.outbound, 'GET', 'orders.shop', '/orders/abc'),
    'orders',
  );
  await tell(
    'an undocumented (shadow) endpoint that web does have',
    '404 undocumented_path',
    callThrough(client, 'GET', 'web.shop', '/debug/env'),
    'web',
  );
  await tell(
    'a documented path with another method',
    '405 undocumented_method',
    callThrough(client, 'GET', 'web.shop', '/checkout'),
    'web',
  );
  await tell(
    'a path two programs could read in two ways',
    '400 ambiguous_path',
    callThrough(client, 'GET', 'web.shop', '/catalog/..%2fdebug/env'),
    'client',
  );
  await tell(
    'a host the mesh does not know',
    '502 unknown_host',
    callThrough(client, 'GET', 'billing.shop', '/'),
    'client',
  );

  await policyChange(shop, onCheck);
  await brokenPolicy(shop, onCheck);
  await controlPlaneOutage(shop, onCheck);
}

function shown(outcome: Outcome): string {
  if (outcome.status === 0) return outcome.code;
  return outcome.code === '' ? String(outcome.status) : `${outcome.status} ${outcome.code}`;
}

/** A rule is added while everything runs, then removed: both are in force in under two seconds. */
async function policyChange(shop: Shop, onCheck: (check: Check) => void): Promise<void> {
  const file = join(shop.policies, 'payments-client.yaml');
  const read = () => callThrough(shop.ports.client.outbound, 'GET', 'payments.shop', '/payments/p-1');
  const rule = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: payments-client, namespace: shop}
spec:
  selector: {matchLabels: {app: payments}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]
      to: [{operation: {methods: [GET]}}]
`;
  onCheck(
    await turned('a policy file is added: client may read payments', () => writeFile(file, rule), read, 403, 200),
  );
  onCheck(await turned('the file is removed again', () => rm(file), read, 200, 403));
}

async function turned(
  name: string,
  change: () => Promise<void>,
  probe: () => Promise<Outcome>,
  from: number,
  to: number,
): Promise<Check> {
  const before = (await probe()).status;
  const changedAt = performance.now();
  await change();
  let now = before;
  while (now !== to && performance.now() - changedAt < PROPAGATION_LIMIT_MS * 2) {
    await sleep(POLL_MS);
    now = (await probe()).status;
  }
  const milliseconds = Math.round(performance.now() - changedAt);
  const ok = before === from && now === to && milliseconds < PROPAGATION_LIMIT_MS;
  const expected = `${from}, then ${to} within ${PROPAGATION_LIMIT_MS} ms`;
  return {
    name,
    expected,
    actual: ok ? expected : `${before}, then ${now} after ${milliseconds} ms`,
    ok,
    reason: ok ? `in force after ${milliseconds} ms` : '',
  };
}

/** A broken file changes nothing and is reported with its position. */
async function brokenPolicy(shop: Shop, onCheck: (check: Check) => void): Promise<void> {
  const file = join(shop.policies, 'web.yaml');
  const good = await readFile(file, 'utf8');
  await appendFile(
    file,
    '---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: typo, namespace: shop}\nspec: {acton: DENY}\n',
  );
  const control = shop.get('control-plane');
  const isReported = () => control.lines.find((line) => line.includes('web.yaml:') && line.includes('acton'));
  const deadline = performance.now() + PROPAGATION_LIMIT_MS;
  while (isReported() === undefined && performance.now() < deadline) await sleep(POLL_MS);
  const report = isReported();
  const { status } = await callThrough(shop.ports.client.outbound, 'GET', 'web.shop', '/catalog');
  const actual = `${report === undefined ? 'not reported' : 'reported'}; calls go on: ${status}`;
  const reason = report === undefined ? '' : report.slice(report.indexOf('web.yaml:'));
  onCheck({
    name: 'a broken policy file: the last good version stays',
    expected: 'reported; calls go on: 200',
    actual,
    ok: actual === 'reported; calls go on: 200',
    reason,
  });
  await writeFile(file, good);
}

/** The control plane is killed and started again under traffic; a sidecar is restarted while it is away. */
async function controlPlaneOutage(shop: Shop, onCheck: (check: Check) => void): Promise<void> {
  const client = shop.ports.client.outbound;
  let isOver = false;
  let sent = 0;
  let failed = 0;
  const traffic = (async () => {
    while (!isOver) {
      const { status } = await callThrough(client, 'GET', 'web.shop', '/catalog');
      sent++;
      if (status !== 200) failed++;
      await sleep(POLL_MS);
    }
  })();
  await end(shop.get('control-plane'), 'SIGKILL');
  await sleep(500);
  await end(shop.get('sidecar-payments'));
  await shop.startSidecar('payments');
  const order = await callThrough(client, 'POST', 'web.shop', '/checkout', ORDER);
  const name = 'control plane killed; the sidecar of payments restarts without it';
  onCheck({
    name,
    expected: '201',
    actual: shown(order),
    ok: order.status === 201,
    reason: 'from its last good snapshot and certificate',
  });
  await shop.startControlPlane();
  await connected(shop, 'web');
  isOver = true;
  await traffic;
  const actual = `${failed} failed`;
  onCheck({
    name: 'traffic while the control plane was away and came back',
    expected: '0 failed',
    actual,
    ok: failed === 0,
    reason: `${sent} calls`,
  });
  const file = join(shop.policies, 'web-closed.yaml');
  const deny = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web-closed, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  action: DENY
  rules: [{to: [{operation: {paths: [/catalog]}}]}]
`;
  const probe = () => callThrough(client, 'GET', 'web.shop', '/catalog');
  onCheck(
    await turned(
      'a policy change through the control plane that came back',
      () => writeFile(file, deny),
      probe,
      200,
      403,
    ),
  );
  await rm(file);
}

/** Waits until the sidecar of a workload has the control plane again: how soon is up to the jitter of its retries. */
async function connected(shop: Shop, at: WorkloadName): Promise<void> {
  const { lines } = shop.get(`sidecar-${at}`);
  const deadline = performance.now() + RECONNECT_LIMIT_MS;
  const isConnected = () => lines.findLast((line) => line.includes(CONTROL_PLANE_EVENT))?.includes('_connected');
  while (isConnected() !== true && performance.now() < deadline) await sleep(POLL_MS);
}

/** Log lines already shown: connections have no decision ID that their caller could know. */
const shownLines = new Set<string>();

/** Why an outcome came about, as the access log has it: by its decision ID, else the newest refused connection. */
async function reasonOf(shop: Shop, at: WorkloadName, outcome: Outcome): Promise<string> {
  const { lines } = shop.get(`sidecar-${at}`);
  const wanted = outcome.decisionId === '' ? '"status":0,' : `"decisionId":"${outcome.decisionId}"`;
  const deadline = performance.now() + REASON_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const line = lines.findLast((candidate) => candidate.includes(wanted) && !shownLines.has(candidate));
    if (line !== undefined) {
      shownLines.add(line);
      const entry: { reason?: string } = JSON.parse(line);
      return entry.reason ?? '';
    }
    await sleep(POLL_MS);
  }
  return '';
}
