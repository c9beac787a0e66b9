import t from 'tap';
import type { MtlsMode } from '#policy/workload-policy.ts';
import { DISABLE_SETTLES_MS, SettledModes } from '#sidecar/policy/settled-modes.ts';

const PORT = 8080;

function modes() {
  const clock = { now: 1_000 };
  const settling = new SettledModes(() => clock.now);
  return { clock, replace: (mode: MtlsMode) => settling.replace(() => mode) };
}

t.test('what is DISABLE from the start is so at once', (t) => {
  t.equal(modes().replace('DISABLE')(PORT), 'DISABLE');
  t.end();
});

for (const before of ['STRICT', 'PERMISSIVE'] as const) {
  t.test(`from ${before} to DISABLE mutual TLS is taken until callers have heard of it`, (t) => {
    const { clock, replace } = modes();
    replace(before);
    const modeOf = replace('DISABLE');
    t.equal(modeOf(PORT), 'PERMISSIVE');
    clock.now += DISABLE_SETTLES_MS - 1;
    t.equal(modeOf(PORT), 'PERMISSIVE');
    clock.now += 1;
    t.equal(modeOf(PORT), 'DISABLE');
    t.end();
  });
}

t.test('another version meanwhile neither ends the time nor begins it anew', (t) => {
  const { clock, replace } = modes();
  replace('PERMISSIVE');
  replace('DISABLE');
  clock.now += DISABLE_SETTLES_MS / 2;
  const modeOf = replace('DISABLE');
  t.equal(modeOf(PORT), 'PERMISSIVE');
  clock.now += DISABLE_SETTLES_MS / 2;
  t.equal(modeOf(PORT), 'DISABLE');
  t.end();
});

t.test('what becomes STRICT is so at once, whatever it was', (t) => {
  const { replace } = modes();
  replace('PERMISSIVE');
  replace('DISABLE');
  t.equal(replace('STRICT')(PORT), 'STRICT');
  t.equal(replace('PERMISSIVE')(PORT), 'PERMISSIVE');
  t.end();
});
