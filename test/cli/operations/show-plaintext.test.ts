import t from 'tap';
import { readProxiesPage } from '#cli/operations/facts.ts';
import { plaintextState, showPlaintext } from '#cli/operations/show-plaintext.ts';

const NOW_MS = Date.parse('2026-01-02T00:00:00Z');
const CALLER = {
  address: '10.0.3.4',
  port: 8080,
  connections: 2,
  requests: 341,
  lastSeen: '2026-01-01T23:57:00Z',
  owner: { namespace: 'shop', name: 'legacy-1', serviceAccount: 'legacy' },
};

for (const [plaintext, shown] of [
  [null, '-'],
  [{ callers: [], since: null }, '-'],
  [{ callers: [], since: '2026-01-01T21:00:00Z' }, 'none for 3h'],
  [{ callers: [], since: '2026-01-01T00:00:00Z' }, 'none for 1d'],
  [{ callers: [], since: '2025-01-01T00:00:00Z' }, 'none for 1d'],
  [{ callers: [CALLER], since: '2026-01-01T21:00:00Z' }, '1 caller'],
  [{ callers: [CALLER, CALLER], since: '2026-01-01T21:00:00Z' }, '2 callers'],
  [{ callers: Array(32).fill(CALLER), since: '2026-01-01T21:00:00Z' }, '32 callers or more'],
] as const) {
  t.test(`the column PLAINTEXT says "${shown}"`, async (t) => {
    t.equal(plaintextState(plaintext, NOW_MS), shown);
  });
}

const PROXY = {
  identity: 'i',
  workload: { name: 'orders-1', namespace: 'shop', serviceAccount: 'orders' },
  sidecarVersion: '',
  peer: '',
  state: 'current',
  inForceVersion: '',
  pendingVersion: null,
  refused: null,
  connectedAt: '',
  lastHeard: '',
};

t.test('below the table stands who called in plaintext, and nothing of others', async (t) => {
  const unknown = { ...CALLER, address: '192.0.2.1\u001b[2J', connections: 1, requests: 0, owner: null };
  const page = {
    source: { version: '', resourceCount: 0, lastApply: { isInForce: true, problems: [] } },
    proxies: [PROXY, { ...PROXY, plaintext: { callers: [CALLER, unknown], since: '2026-01-01T00:00:00Z' } }],
  };
  let text = '';
  const take = (more: string) => {
    text += more;
  };
  const proxies = readProxiesPage(page).proxies.map((proxy) => ({ ...proxy, replica: undefined }));
  showPlaintext(proxies, NOW_MS, { stdout: take, stderr: take });
  t.equal(
    text,
    `
shop/orders-1 was called in plaintext; STRICT would refuse:
  shop/legacy-1 (legacy, 10.0.3.4) to port 8080: 2 connections, 341 requests, the last 3m ago
  192.0.2.1\\u001b[2J to port 8080: 1 connection, the last 3m ago
`,
  );
});
