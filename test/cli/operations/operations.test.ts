import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { MAX_TAPS } from '#sidecar/telemetry/tapped-log.ts';
import { eventually } from '../../control-plane/control-plane-fixture.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { runLateral, startLateral } from '../../support/run-lateral.ts';
import { startSmallMesh } from './small-mesh.ts';

t.test('operators ask a control plane, and a sidecar', async (t) => {
  const mesh = await startSmallMesh(t);
  const asOperator = [
    '--control-plane',
    mesh.address,
    '--token-file',
    mesh.tokenFile,
    '--trust-bundle',
    mesh.trustBundle,
  ];

  await t.test('proxies lists who is connected, and whether it has what it should', async (t) => {
    const { code, stdout, stderr } = await runLateral(t, ['proxies', ...asOperator]);
    t.equal(code, 0, stderr);
    const [header, ...rows] = stdout.trimEnd().split('\n');
    t.match(header, /^NAME +NAMESPACE +IDENTITY +STATE +POLICIES +CERTIFICATE +PLAINTEXT +VERSION +CONNECTED +FROM$/);
    t.match(rows, [
      /^orders-1 +shop +shop\/orders +current +[0-9a-f]{12} +(?:23h59m left|24h00m left|-) +(?:none for \d+s|-) +\d+\.\d+\.\d+ +\d+s +127\.0\.0\.1:\d+$/,
      /^web-1 +shop +shop\/web +current /,
    ]);
    t.match(stderr, /^3 resources in force \([0-9a-f]{12}\)\n$/);
  });

  await t.test('the environment says whom to ask, and --json shows all there is', async (t) => {
    const { stdout } = await runLateral(t, ['proxies', 'shop', '--json'], {
      LATERAL_CONTROL_PLANE: mesh.address,
      LATERAL_TOKEN_FILE: mesh.tokenFile,
      LATERAL_TRUST_BUNDLE: mesh.trustBundle,
    });
    t.match(JSON.parse(stdout), {
      proxies: [
        { identity: 'spiffe://cluster.local/ns/shop/sa/orders', state: 'current', refused: null },
        { identity: 'spiffe://cluster.local/ns/shop/sa/web' },
      ],
      sources: [{ resources: 3, isInForce: true, problems: [] }],
    });
  });

  await t.test('a namespace without sidecars is said to have none', async (t) => {
    const { code, stdout, stderr } = await runLateral(t, ['proxies', 'nowhere', ...asOperator]);
    t.same({ code, stdout }, { code: 0, stdout: '' });
    t.match(stderr, /no sidecar of namespace nowhere is connected/);
  });

  await t.test('policies with errors are said not to be in force', async (t) => {
    await mesh.fixture.writePolicy('broken.yaml', 'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicies\n');
    await eventually('the control plane has read them', async () =>
      (await (await mesh.fixture.status('/proxies')).text()).includes('"isInForce": false'),
    );
    const { code, stderr } = await runLateral(t, ['proxies', ...asOperator]);
    t.equal(code, 0);
    t.match(stderr, /not in force, since they have errors:\n {2}.*broken\.yaml:\d+:\d+: error /);
    await mesh.fixture.writePolicy('broken.yaml', '');
  });

  await t.test('explain tells why, and what to do', async (t) => {
    const { status, decisionId } = await mesh.call('/private');
    t.equal(status, 403);
    const args = ['explain', decisionId, ...asOperator];
    const told = await explained(args);
    t.equal(told.code, 0, told.stderr);
    t.match(told.stdout, new RegExp(`^decision +${decisionId} at 20`));
    t.match(told.stdout, /^result +refused: authorization_denied \(status 403\)$/m);
    t.match(told.stdout, /^request +GET orders\.shop\/private \(inbound\)$/m);
    t.match(told.stdout, /^from +spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web$/m);
    t.match(told.stdout, /^decided by +the sidecar of orders-1 \(spiffe:\/\/cluster\.local\/ns\/shop\/sa\/orders\)$/m);
    t.match(told.stdout, /^policy +shop\/private, rule 0/m);
    t.match(told.stdout, /^meaning +A rule of a DENY policy matched the request\.$/m);
    t.match(told.stdout, /^what to do +The log names policy and rule\.$/m);
    t.match(told.stdout, /^trace +[0-9a-f]{32};/m);

    const bySidecar = await runLateral(t, ['explain', decisionId, '--sidecar', String(mesh.admin.orders)]);
    t.match(bySidecar.stdout, /^policy +shop\/private, rule 0/m);
    const listed = await runLateral(t, ['explain', '--last', '5', '--code', 'authorization_denied', ...asOperator]);
    t.match(
      listed.stdout,
      new RegExp(
        `^20.* ${decisionId} deny authorization_denied GET orders\\.shop/private \\(inbound\\) from .* by shop/private at orders-1\n$`,
      ),
    );

    const elsewhere = await runLateral(t, ['explain', decisionId, '--sidecar', String(mesh.admin.web)]);
    t.equal(elsewhere.code, 1);
    t.equal(elsewhere.stdout, '');
    t.match(elsewhere.stderr, /is not kept at sidecar on port \d+ \(nothing is kept there\)\. It may be that/);

    /** Sidecars report once a second. */
    async function explained(of: readonly string[]) {
      const deadline = Date.now() + 5_000;
      let last = await runLateral(t, of);
      while (last.code !== 0 && Date.now() < deadline) last = await runLateral(t, of);
      return last;
    }
  });

  await t.test('rules tells how often each matched, and calls none unused before it was observed', async (t) => {
    const rows = async (...args: readonly string[]) => (await runLateral(t, ['rules', ...args, ...asOperator])).stdout;
    await eventually('the match was told', async () => /^shop\/private +0 +DENY +[1-9]/m.test(await rows('shop')));
    const table = await rows('shop');
    t.match(table, /^POLICY +RULE +ACTION +MATCHES +LAST MATCHED +IN FORCE +USE$/m);
    t.match(table, /^shop\/private +0 +DENY +1 +\d+s ago +\d+s +used$/m);
    t.equal(await rows('--unused', '7d'), '', 'nothing was observed for so long');
    t.equal(await rows('nowhere'), '');
    const { rules } = JSON.parse(await rows('--json'));
    t.match(
      rules.find(({ policy }: { policy: string }) => policy === 'shop/private'),
      { rule: 0, matches: 1 },
    );
    t.notOk(
      rules.some(({ action }: { action: string }) => action === ''),
      'what sidecars count is what is in force',
    );
    const pages = await (await mesh.fixture.status('/rules')).json();
    t.match(pages, { heard: ['shop/orders-1', 'shop/web-1'], unheard: [], hasForgotten: false });
  });

  await t.test('a connection without TLS is a decision too, which the control plane hears of', async (t) => {
    const socket = connect(mesh.inbound, '127.0.0.1', () => socket.end('GET / HTTP/1.1\r\n\r\n'));
    socket.on('error', () => {});
    const isKept = async () =>
      (await (await mesh.fixture.status('/decisions')).text()).includes('tls_handshake_failed');
    await eventually('it was reported', isKept);
    const listed = ['explain', '--last', '1', '--code', 'tls_handshake_failed'];
    const { stdout } = await runLateral(t, [...listed, ...asOperator]);
    t.match(stdout, / deny tls_handshake_failed a connection \(inbound\) at orders-1\n$/);
    const [, id = ''] = stdout.split(' ');
    const told = await runLateral(t, ['explain', id, '--sidecar', String(mesh.admin.orders)]);
    t.match(told.stdout, /^result +refused: tls_handshake_failed \(connection closed without an answer\)$/m);
    t.match(told.stdout, /^from +a caller without a proven identity$/m);
    t.match(told.stdout, /^trace +none: it was no HTTP request$/m);
  });

  await t.test('tap shows requests of one sidecar as they end', async (t) => {
    const args = ['tap', '--sidecar', String(mesh.admin.orders), '--limit', '2'];
    const tap = startLateral(t, args);
    await eventually('it looks on', () => tap.printed.stderr.includes('looking on at 1 sidecar'), 20_000);
    await mesh.call('/orders/1?token=secret');
    await mesh.call('/private');
    const { code, stdout, stderr } = await tap.ended;
    t.equal(code, 0, stderr);
    const [first, second] = stdout.split('\n');
    t.match(
      first,
      /^\d\d:\d\d:\d\d\.\d{3} in allow 200 GET orders\.shop\/orders\/1\?token=\[redacted\] from shop\/web \d+\.\dms by shop\/orders$/,
    );
    t.match(
      second,
      /^\S+ in deny 403 GET orders\.shop\/private from shop\/web \S+ authorization_denied by shop\/private id [0-9a-f]{16}$/,
    );
    t.match(stderr, /2 shown/);
  });

  await t.test('tap shows what was asked for, until it is told to stop', async (t) => {
    const tap = startLateral(t, ['tap', '--sidecar', String(mesh.admin.orders), '--denied', '--json']);
    await eventually('it looks on', () => tap.printed.stderr.includes('looking on'), 20_000);
    await mesh.call('/orders/1');
    await mesh.call('/private');
    await eventually('the line is there', () => tap.printed.stdout.includes('\n'));
    tap.kill('SIGINT');
    const { code, stdout } = await tap.ended;
    t.equal(code, 0);
    t.match(JSON.parse(stdout), { path: '/private', decision: 'deny', code: 'authorization_denied' });
  });

  await t.test('tap shows requests of a namespace through the control plane', async (t) => {
    const all = startLateral(t, ['tap', 'shop', '--limit', '4', ...asOperator]);
    const one = startLateral(t, ['tap', 'shop/orders', '--denied', '--for', '5s', '--json', ...asOperator]);
    await eventually('they look on', () => all.printed.stderr.includes('looking on at 2 sidecars'), 20_000);
    await eventually('they look on', () => one.printed.stderr.includes('looking on at 1 sidecar'), 20_000);
    await mesh.call('/orders/1');
    await mesh.call('/private');
    const [ofAll, ofOne] = await Promise.all([all.ended, one.ended]);
    t.same([ofAll.code, ofOne.code], [0, 0], ofAll.stderr + ofOne.stderr);
    t.match(ofAll.stdout, /^\S+ orders-1 in allow 200 GET orders\.shop\/orders\/1 from shop\/web/m);
    t.match(ofAll.stdout, /^\S+ web-1 out allow 200 GET orders\.shop\/orders\/1/m);
    t.match(JSON.parse(ofOne.stdout), { path: '/private', direction: 'inbound', policy: 'shop/private' });
    t.match(ofOne.stderr, /1 shown/);
  });

  await t.test('a tap through the control plane says who is there, and who may not look on', async (t) => {
    const nobody = await runLateral(t, ['tap', 'shop/payments', ...asOperator]);
    t.equal(nobody.code, 1);
    t.match(nobody.stderr, /no sidecar of shop\/payments is connected; there are (orders-1, web-1|web-1, orders-1)/);
    const unproven = ['--control-plane', mesh.address, '--token-file', await mesh.fixture.token()];
    const refused = await runLateral(t, ['tap', 'shop', ...unproven, '--trust-bundle', mesh.trustBundle]);
    t.equal(refused.code, 1);
    t.match(refused.stderr, /token is a workload's, not an operator's/);
  });

  await t.test('a sidecar shows itself', async (t) => {
    const { code, stdout } = await runLateral(t, ['proxies', '--sidecar', String(mesh.admin.web)]);
    t.equal(code, 0);
    t.match(stdout, /^web-1 +shop +shop\/web +current +[0-9a-f]{12} .* none for \d+[sm] +\d+\.\d+\.\d+ /m);
  });

  await t.test('taps that are all taken are said to be so', async (t) => {
    const asked = ['tap', 'shop/orders', ...asOperator];
    const taps = Array.from({ length: MAX_TAPS }, () => startLateral(t, asked));
    for (const tap of taps) await eventually('it looks on', () => tap.printed.stderr.includes('looking on'), 30_000);
    const { code, stderr } = await runLateral(t, asked);
    t.equal(code, 1);
    t.match(stderr, /orders-1: its taps are all taken; try again later/);
    for (const tap of taps) tap.kill('SIGINT');
    t.same(
      await Promise.all(taps.map(async (tap) => (await tap.ended).code)),
      taps.map(() => 0),
    );
    const free = startLateral(t, [...asked, '--for', '1s']);
    t.equal((await free.ended).code, 0, 'those who left took their place with them');
  });

  await t.test('without proof on either side nothing is told', async (t) => {
    const joinToken = await mesh.fixture.token();
    const foreign = join(mesh.fixture.directory, 'foreign.pem');
    await writeFile(foreign, new TestAuthority().rootPem);
    const base = ['proxies', '--control-plane', mesh.address];
    const cases: [readonly string[], RegExp][] = [
      [['--token-file', joinToken, '--trust-bundle', mesh.trustBundle], /token is a workload's, not an operator's/],
      [['--token-file', mesh.trustBundle, '--trust-bundle', mesh.trustBundle], /root-cert\.pem holds no token/],
      [['--token-file', mesh.tokenFile, '--trust-bundle', foreign], /not of the roots in the trust bundle/],
      [['--token-file', mesh.tokenFile], /--trust-bundle: cannot read .*root-cert\.pem/],
      [
        ['--token-file', mesh.tokenFile, '--trust-bundle', mesh.trustBundle, '-n', 'other'],
        /expected spiffe:\/\/cluster\.local\/ns\/other\/sa\/control-plane/,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await runLateral(t, [...base, ...args]);
      t.equal(code, 1);
      t.equal(stdout, '');
      t.match(stderr, message);
    }
  });
});

t.test('wrong usage says what to change', async (t) => {
  const cases: [readonly string[], RegExp][] = [
    [['proxies'], /nobody to ask: no --kubeconfig, KUBECONFIG or ~\/\.kube\/config/],
    [['proxies', 'a', 'b'], /one NAMESPACE, or none/],
    [['proxies', '--fail-on', 'rain'], /--fail-on rain: known are refused and pending/],
    [['proxies', '--control-plane', 'a:1'], /--token-file FILE is missing/],
    [['proxies', '--control-plane', 'a:1', '--sidecar', '1'], /name two places to ask/],
    [['proxies', '--sidecar', 'x'], /--sidecar x is not a port/],
    [['proxies', '--kubeconfig', '/nonexistent/config'], /there is no such file/],
    [['explain'], /name the DECISION-ID/],
    [['explain', 'abc'], /abc is not a decision ID/],
    [['explain', '--last', '0'], /from 1 to 1000/],
    [['explain', '--last', '1', '--code', 'authorization_deny'], /did you mean authorization_denied\?/],
    [['tap'], /name what to tap/],
    [['tap', 'a/b/c'], /name what to tap/],
    [['tap', '--sidecar', '1', 'shop'], /leave shop out/],
    [['tap', '--sidecar', '1', '--for', '11m'], /outside of 1s to 10m/],
    [['tap', '--sidecar', '1', '--limit', '0'], /--limit 0 is not a number/],
    [['tap', '--sidecar', '1', '--direction', 'up'], /neither inbound nor outbound/],
  ];
  await Promise.all(
    cases.map(async ([args, message]) => {
      const { code, stderr } = await runLateral(t, args);
      t.equal(code, 2, args.join(' '));
      t.match(stderr, message);
      t.equal(stderr.trimEnd().split('\n').length, 1, 'one line');
    }),
  );
});

t.test('a port where nobody listens is said to be so', async (t) => {
  for (const args of [['proxies'], ['explain', '0123456789abcdef'], ['tap']]) {
    const { code, stderr } = await runLateral(t, [...args, '--sidecar', '1']);
    t.equal(code, 1);
    t.match(stderr, /nothing listens on 127\.0\.0\.1:1; the admin port is in the ready line of the sidecar/);
  }
});
