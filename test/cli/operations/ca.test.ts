import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { main } from '#cli/main.ts';
import { RECONNECT_MS } from '#control-plane/authority/trust-judgement.ts';
import { issueOperatorToken } from '#control-plane/tokens/issue-token.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import {
  allowPolicy,
  ControlPlaneFixture,
  eventually,
  SidecarFixture,
} from '../../control-plane/control-plane-fixture.ts';
import { startFakeApi } from './fake-kubernetes-api.ts';

const ORDERS = 'spiffe://cluster.local/ns/shop/sa/orders';

/** A control plane with a clock in hand, and one sidecar. */
async function mesh(t: Test) {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('allow-web', 'web'));
  let aheadMs = 0;
  const now = () => Date.now() + aheadMs;
  await fixture.start({ now });
  t.teardown(() => fixture.stop());
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({
    tokenFile: await fixture.token({ isReusable: true }),
    stateDirectory: join(fixture.directory, 'sidecar'),
  });
  t.teardown(() => connection.close());
  await connection.policies.start(async () => {});
  const trustBundle = join(fixture.directory, 'roots.pem');
  const tokenOf = async (name: string, mayChangeAuthority: boolean, ttlMs?: number) => {
    const file = join(fixture.directory, name);
    await writeFile(file, await issueOperatorToken(fixture.configuration, ttlMs, mayChangeAuthority));
    return file;
  };
  const tokens = { looking: await tokenOf('looking.token', false), changing: await tokenOf('changing.token', true) };
  const run = async (args: readonly string[], tokenFile = tokens.changing) => {
    await writeFile(trustBundle, fixture.running?.trustBundlePem ?? '');
    const said = { stdout: '', stderr: '' };
    const io = {
      stdout: (text: string) => {
        said.stdout += text;
      },
      stderr: (text: string) => {
        said.stderr += text;
      },
    };
    const reach = [
      '--control-plane',
      `127.0.0.1:${fixture.port}`,
      '--token-file',
      tokenFile,
      '--trust-bundle',
      trustBundle,
    ];
    const code = await main(['ca', ...args, ...reach], io, '0');
    return { code, ...said };
  };
  const proxies = async (): Promise<readonly { readonly state: string }[]> =>
    JSON.parse(await (await fixture.status('/proxies')).text()).proxies;
  const turn = (ms: number) => {
    aheadMs += ms;
  };
  const again = async () => {
    await fixture.stop();
    await fixture.start({ now });
  };
  return { fixture, sidecar, connection, tokens, tokenOf, run, proxies, again, turn };
}

t.test('a root is rotated by commands, and a sidecar goes along', async (t) => {
  const { fixture, run, proxies, again, turn } = await mesh(t);
  const [oldRoot = Buffer.of()] = certificatesFromPem(fixture.running?.trustBundlePem ?? '');
  const status = await run(['status']);
  t.match(status, { code: 0, stderr: '' });
  t.match(status.stdout, /trust domain cluster.local; certificates live 24h/);
  t.match(status.stdout, new RegExp(`own +${createHash('sha256').update(oldRoot).digest('hex').slice(0, 16)}`));
  t.match(status.stdout, /the root is not being changed/);

  const begun = await run(['rotate']);
  t.match(begun, { code: 0, stdout: /trusting: since .*signs nothing yet/ });
  t.match(begun.stdout, /a control plane has just started/);
  const state = JSON.parse(await readFile(join(fixture.directory, 'state', 'ca', 'authority-state.json'), 'utf8'));
  const leavesEndMs = Date.parse(state['authority-state.json'].leavesEnd);
  t.ok(
    leavesEndMs > Date.now() + 24 * 3_600_000 && leavesEndMs < Date.now() + 26 * 3_600_000,
    'what was signed is known',
  );
  t.match(await run(['rotate']), { code: 1, stderr: /under way since .* and in stage trusting/ });
  t.match(await run(['finish']), { code: 1, stderr: /goes on by itself once all sidecars trust the new root/ });
  t.match(await run(['rotate', '--wait', '--timeout', '1s']), { code: 1 }, 'refused, as without --wait');
  t.match(await run(['cancel']), { code: 0, stdout: /the root is not being changed/ });
  t.match(await run(['cancel']), { code: 1, stderr: /no change of the root is under way/ });
  t.match(await run(['rotate']), { code: 0 });
  turn(RECONNECT_MS);
  await eventually(
    'the new root signs',
    async () => JSON.parse((await run(['status', '--json'])).stdout).stage === 'signing',
  );
  t.match(await run(['finish']), {
    code: 1,
    stderr: /good until .*; it is retired then by itself, or at once by --force/,
  });
  const metrics = await (await fixture.status('/metrics')).text();
  t.match(metrics, /lateral_control_plane_root_rotation_stage\{stage="signing"\} 1/);
  t.match(metrics, /root_expiry_timestamp_seconds\{fingerprint="[0-9a-f]{64}",role="former"\} \d+/);
  t.match(metrics, /root_trusted_until_timestamp_seconds\{fingerprint="[0-9a-f]{64}"\} \d+/);

  await again(); // under a certificate of the new root, which the sidecar knows since it was handed out
  await eventually('the sidecar is back', async () => (await proxies()).length === 1, 20_000);

  turn(3 * 24 * 3_600_000);
  // what it signs from here on is of a time to come, for all others in this process
  const stage = async () => JSON.parse(await (await fixture.status('/authority')).text()).stage;
  await eventually('the old root is retired', async () => (await stage()) === 'none');
  t.equal(fixture.events.filter(({ event }) => event === 'root_retired').length, 1);
  t.equal(certificatesFromPem(fixture.running?.trustBundlePem ?? '').length, 1);
});

t.test('who waits for a change asks no more once the token is good no longer', async (t) => {
  const { tokenOf, run } = await mesh(t);
  const waited = await run(['rotate', '--wait', '--timeout', '60s'], await tokenOf('short.token', true, 3_000));
  t.match(waited, {
    code: 1,
    stderr: /trusting: since .*token.*\. The change goes on by itself: `lateral ca status`/s,
  });
  t.match(await run(['status']), { code: 0, stdout: /trusting: since/ });
});

t.test('an identity is revoked: its connection ends, and nothing is signed for it, also after a restart', async (t) => {
  const { fixture, sidecar, run, proxies, again } = await mesh(t);
  t.equal((await proxies()).length, 1);
  const revoked = await run(['revoke', '--identity', 'shop/orders']);
  t.match(revoked, { code: 0, stdout: /shop\/orders is revoked/ });
  await eventually('it is gone', async () => (await proxies()).length === 0, 1_000);
  t.match(await run(['list']), { stdout: new RegExp(`identity +${ORDERS} +\\d{4}-`) });
  const log = () =>
    fixture.events.filter(({ event }) => event === 'signing_refused' || event === 'subscription_refused');
  await eventually('it is refused when it comes again', () => log().length > 0, 20_000);
  t.match(log()[0]?.fields, { reason: `${ORDERS} is revoked` });
  await eventually('and hears why', () => JSON.stringify(sidecar.events).includes('is revoked'), 5_000);
  await again();
  t.match(await run(['status']), { stdout: /1 revocations are in force/ });
  const token = await fixture.token({ isReusable: true });
  await t.rejects(new SidecarFixture(fixture).connect({ tokenFile: token, signal: AbortSignal.timeout(2_000) }));
  t.match(await run(['reinstate', '--identity', ORDERS]), { code: 0, stdout: /is believed again/ });
  t.match(await run(['reinstate', '--identity', ORDERS]), { code: 1, stderr: /is not revoked/ });
  await eventually('it comes back', async () => (await proxies()).length === 1, 30_000);
});

t.test('a serial number is revoked until its certificate ends', async (t) => {
  const { run, connection, proxies, fixture } = await mesh(t);
  const { X509Certificate } = await import('node:crypto');
  const leaf = new X509Certificate(connection.credentials.current()?.certificateChainPem ?? '');
  const colons = leaf.serialNumber.match(/../g)?.join(':') ?? '';
  t.match(await run(['revoke', '--serial', colons, '--until', '24h']), { code: 0 });
  await eventually(
    'its connection ends',
    () => fixture.events.some(({ event }) => event === 'connection_ended'),
    1_000,
  );
  const { revocations } = JSON.parse((await run(['list', '--json'])).stdout);
  t.match(revocations, {
    identities: [],
    serials: [{ serial: leaf.serialNumber.toLowerCase().replace(/^(00)+/, '') }],
  });
  t.match(await run(['revoke', '--serial', 'xyz']), { code: 2, stderr: /no serial number/ });
  t.match(await run(['revoke', '--serial', 'ab', '--until', '2001-01-01T00:00:00Z']), {
    code: 2,
    stderr: /is over/,
  });
  t.equal((await proxies()).length <= 1, true);
});

t.test('a token for looking on changes nothing, and wrong usage is told', async (t) => {
  const { run, tokens } = await mesh(t);
  t.match(await run(['status'], tokens.looking), { code: 0 });
  t.match(await run(['rotate'], tokens.looking), {
    code: 1,
    stderr: /for looking on; .*--operator.*without --read-only/,
  });
  for (const [args, message] of [
    [[], /say what: status, rotate/],
    [['rotat'], /"rotat" is not known/],
    [['revoke'], /give --identity or --serial/],
    [['revoke', '--identity', 'a/b', '--serial', 'ab'], /one of them/],
    [['status', '--force'], /--force belongs to finish/],
    [['finish', '--wait'], /--wait and --timeout belong to rotate/],
    [['revoke', '--identity', 'a/b', '--until', '1h'], /--until belongs to revoke --serial/],
    [['revoke', '--serial', 'ab', '--until', 'soon'], /neither a time nor a duration/],
    [['status', 'now'], /now is too much/],
  ] as const) {
    t.match(await run(args), { code: 2, stderr: message }, args.join(' '));
  }
  t.match(await run(['revoke', '--identity', 'shop/or ders']), { code: 2 });
  t.match(await run(['revoke', '--identity', 'lateral-system/control-plane']), {
    code: 1,
    stderr: /control plane itself/,
  });
});

t.test('the page on loopback acts for operators, and for no web page', async (t) => {
  const { fixture } = await mesh(t);
  const post = (headers: { readonly [name: string]: string }, body = '{"rotate":{}}') =>
    new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
      const port = fixture.running?.statusPort;
      const call = request(
        { port, host: '127.0.0.1', method: 'POST', path: '/authority', headers },
        async (response) => {
          let text = '';
          for await (const chunk of response) text += chunk;
          resolve({ status: response.statusCode, text });
        },
      );
      call.on('error', reject);
      call.end(body);
    });
  const json = { 'content-type': 'application/json' };
  t.match(await post({ 'content-type': 'text/plain' }), { status: 415 });
  t.match(await post({ ...json, origin: 'http://127.0.0.1:3000' }), { status: 403 });
  t.match(await post({ ...json, 'sec-fetch-site': 'same-origin' }), { status: 403 });
  t.match(await post({ ...json, host: 'evil.example' }), { status: 403 });
  t.match(await post(json, 'nonsense'), { status: 400, text: /expected one of rotate/ });
  t.match(await post(json, '{"rotate":{},"finish":{}}'), { status: 400 });
  t.match(await post(json, 'x'.repeat(20_000)), { status: 413 });
  t.match(JSON.parse(await (await fixture.status('/authority')).text()), { stage: 'none' }, 'nothing was done');
  t.match(await post(json), { status: 200, text: /"stage": "trusting"/ });
  t.match(await post(json), { status: 409, text: /under way/ });
});

t.test('of a cluster the page of a control plane is asked, by a port-forward', async (t) => {
  const { fixture } = await mesh(t);
  const system = '/api/v1/namespaces/lateral-system';
  const pod = {
    metadata: { namespace: 'lateral-system', name: 'cp-0', labels: { app: 'control-plane' } },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
  const api = await startFakeApi(t, {
    objects: { [`${system}/services/lateral-control-plane`]: { spec: { selector: { app: 'control-plane' } } } },
    lists: { [`${system}/pods`]: [pod] },
    ports: { 'lateral-system/cp-0:15080': fixture.running?.statusPort ?? 0 },
  });
  const kubeconfig = join(fixture.directory, 'kubeconfig');
  await writeFile(kubeconfig, api.kubeconfig);
  const run = async (...args: readonly string[]) => {
    const said = { stdout: '', stderr: '' };
    const take = (name: keyof typeof said) => (text: string) => {
      said[name] += text;
    };
    const io = { stdout: take('stdout'), stderr: take('stderr') };
    return { code: await main(['ca', ...args, '--kubeconfig', kubeconfig], io, '0'), ...said };
  };
  t.match(await run('status'), { code: 0, stdout: /the root is not being changed/, stderr: '' });
  t.match(await run('revoke', '--identity', 'shop/web'), { code: 0, stdout: /shop\/web is revoked/ });
  t.match(await run('list'), { stdout: /ns\/shop\/sa\/web/ });
  t.match(await run('reinstate', '--identity', 'shop/nobody'), { code: 1, stderr: /is not revoked/ });
  t.match(await run('rotate', '--wait', '--timeout', '1s'), {
    code: 1,
    stderr: /trusting: since .* sidecars trust it/,
  });
  t.match(await run('status', '--sidecar', '15000'), { code: 2, stderr: /name two places/ });
});
