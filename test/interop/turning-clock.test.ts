import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { eventually } from '../control-plane/control-plane-fixture.ts';
import { TestAuthority } from '../support/certificates.ts';
import { writePeerFiles } from '../support/peer-certificates.ts';
import { noTurningClock, startTurningClock } from '../support/turning-clock.ts';
import { LEAF_LIFETIME_MS, STEP_MS, startTurningMesh } from '../support/turning-mesh.ts';

t.setTimeout(900_000);

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** How late an end may be: checks are a second apart, in which the clock goes some steps on. */
const LATE_MS = 20 * STEP_MS;
/** Of all waits together, jitter and backoff included. */
const RENEWAL_SLACK = 1.2;

/** A certificate is renewed at half of its life, give or take a tenth. */
const NIGHT_MS = 0.7 * LEAF_LIFETIME_MS;
const NIGHTS = 12;
/** Clocks are looked at each second; the rest is for busy machines. */
const RENEWED_WITHIN_MS = 20_000;

const skip = noTurningClock;

t.test('clocks of processes are turned while they run, and their timers are not', { skip }, async (t) => {
  const clock = await startTurningClock(t);
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf('spiffe://cluster.local/ns/shop/sa/orders', Date.now(), HOUR_MS);
  const files = await writePeerFiles(t.testdirName, 'probe', cert, key);
  const root = await writePeerFiles(t.testdirName, 'root', authority.rootPem, '');
  const probe = fileURLToPath(new URL('../support/clock-probe.mjs', import.meta.url));
  const child = spawn(process.execPath, [probe, files.cert, files.key, root.cert], {
    env: { ...process.env, ...clock.environment },
  });
  t.teardown(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const next = async () => JSON.parse(String((await once(lines, 'line'))[0]));
  const before = await next();
  t.equal(before.verdict, 'valid');
  t.ok(Math.abs(before.wallMs - clock.now()) < 5_000, `${before.wallMs} ${clock.now()}`);
  await clock.turn(2 * HOUR_MS);
  child.stdin.write('\n');
  const after = await next();
  t.ok(Math.abs(after.wallMs - clock.now()) < 5_000, `${after.wallMs} ${clock.now()}`);
  t.equal(after.verdict, 'CERT_HAS_EXPIRED', 'OpenSSL goes by it');
  t.ok(after.monotonicMs - before.monotonicMs < MINUTE_MS, 'timers do not');
});

t.test('a day of renewals under traffic fails no request', { skip }, async (t) => {
  const turning = await startTurningMesh(t);
  const { traffic, sidecars, uses, ends, clock } = turning;
  const startedAtMs = clock.now();
  let visits = 0;
  await turning.pass(24 * HOUR_MS, async (passedMs) => {
    if (passedMs > (visits + 0.5) * 4 * HOUR_MS) await turning.visit(t, `visitor-${++visits}`);
  });
  const dayMs = clock.now() - startedAtMs;
  await traffic.end();
  for (const { process } of sidecars) t.comment(process.printed.stderr.split('\n').slice(-30).join('\n'));
  t.comment(`${traffic.served} served, ${traffic.failed.length} failed, ${traffic.streams.length} streams ended`);
  t.same(traffic.failed.slice(0, 20), [], 'no request failed');
  t.ok(traffic.served > 1_000, `${traffic.served} were served`);
  const least = Math.floor(dayMs / (LEAF_LIFETIME_MS / 2) / RENEWAL_SLACK);
  for (const sidecar of sidecars) {
    const renewals = sidecar.events('certificate_in_use').length - 1;
    t.ok(renewals >= least, `${renewals} renewals of at least ${least}`);
  }
  const late = uses.filter(({ atMs, sha256 }) => atMs > (ends.get(sha256) ?? 0));
  t.same(late.slice(0, 5), [], 'no request came by a certificate that had ended');
  t.ok(new Set(uses.map(({ sha256 }) => sha256)).size > 3, 'and they came by several');
  const lives = traffic.streams.map(({ fromMs, toMs }) => toMs - fromMs);
  t.ok(lives.length >= 2 * Math.floor(dayMs / LEAF_LIFETIME_MS), `${lives.length} streams came to an end`);
  t.ok(Math.max(...lives) <= LEAF_LIFETIME_MS + LATE_MS, `none later than its certificate: ${Math.max(...lives)} ms`);
  t.ok(Math.min(...lives) >= LEAF_LIFETIME_MS / 4, `none at a mere renewal: ${Math.min(...lives)} ms`);
});

t.test(
  'a machine that sleeps nearly as long as its certificates are good fails no request when it wakes',
  { skip },
  async (t) => {
    const { clock, traffic, sidecars } = await startTurningMesh(t);
    const renewals = () => Math.min(...sidecars.map((sidecar) => sidecar.events('certificate_in_use').length));
    for (let night = 1; night <= NIGHTS; night++) {
      const before = renewals();
      await clock.turn(NIGHT_MS);
      await eventually(`all have renewed after night ${night}`, () => renewals() > before, RENEWED_WITHIN_MS);
      await traffic.round();
    }
    await traffic.end();
    t.comment(`${traffic.served} served, ${traffic.failed.length} failed, ${traffic.streams.length} streams ended`);
    t.same(traffic.failed, []);
  },
);
