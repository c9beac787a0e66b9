import t from 'tap';
import { fingerprint } from '#control-plane/authority/rotation.ts';
import { trustBundleDocument } from '#control-plane/authority/trust-documents.ts';
import { judgeTrust, RECONNECT_MS } from '#control-plane/authority/trust-judgement.ts';
import { MAX_ABSENT_SIDECARS, type SidecarTrust, TrustSurvey } from '#control-plane/authority/trust-survey.ts';
import { createSidecarRegistry, type SidecarStatus } from '#control-plane/discovery/sidecar-registry.ts';
import { ComposedSnapshot, SharedResources } from '#policy/snapshot/composed-snapshot.ts';
import { MESH } from '../control-plane-fixture.ts';

const LIFE_MS = 1_000;
const ROOTS = [Buffer.from('old'), Buffer.from('new')] as const;
const PRINTS = ROOTS.map(fingerprint);

/** A sidecar that has acknowledged a bundle with these roots; undefined: nothing yet. */
function sidecarWith(name: string, roots: readonly Buffer[] | undefined): SidecarStatus {
  const snapshot = (of: readonly Buffer[]) =>
    new ComposedSnapshot(new SharedResources([trustBundleDocument(MESH, of, [], [])]), []);
  return {
    identity: `spiffe://cluster.local/ns/shop/sa/${name}`,
    workload: { name, namespace: 'shop', serviceAccount: name, labels: {}, ports: [] },
    sidecarVersion: '0',
    peer: '127.0.0.1:1',
    connectedAtMs: 0,
    lastHeardMs: 0,
    inForceVersion: '',
    pendingVersion: undefined,
    refused: undefined,
    vitals: undefined,
    orderTap() {},
    snapshots: () => ({ target: snapshot(ROOTS), inForce: roots === undefined ? undefined : snapshot(roots) }),
  };
}

function survey() {
  const registry = createSidecarRegistry();
  const clock = { nowMs: 1_000_000 };
  const survey = new TrustSurvey({ registry, mesh: MESH, leafLifetimeMs: LIFE_MS, now: () => clock.nowMs });
  return { registry, clock, survey };
}

const shown = (sidecars: readonly SidecarTrust[]) =>
  sidecars.map(({ name, trusts, isConnected }) => `${name} ${trusts} ${isConnected}`).sort();

t.test('what counts is what a sidecar has acknowledged, and all of the roots', (t) => {
  const { registry, survey: asked } = survey();
  registry.add(sidecarWith('both', ROOTS));
  registry.add(sidecarWith('old', ROOTS.slice(0, 1)));
  registry.add(sidecarWith('nothing', undefined));
  t.strictSame(shown(asked.answer(PRINTS).sidecars), [
    'shop/both true true',
    'shop/nothing false true',
    'shop/old false true',
  ]);
  t.strictSame(shown(asked.answer(PRINTS.slice(0, 1)).sidecars), [
    'shop/both true true',
    'shop/nothing false true',
    'shop/old true true',
  ]);
  t.end();
});

t.test('who went away is remembered with what it knew, until its certificate has ended or it is back', (t) => {
  const { registry, clock, survey: asked } = survey();
  const [knowing, ignorant] = [sidecarWith('knowing', ROOTS), sidecarWith('ignorant', ROOTS.slice(0, 1))];
  for (const one of [knowing, ignorant]) registry.add(one);
  for (const one of [knowing, ignorant]) registry.remove(one);
  registry.remove(ignorant); // once more, as a stream that ends twice
  t.strictSame(shown(asked.answer(PRINTS).sidecars), ['shop/ignorant false false', 'shop/knowing true false']);
  registry.add(sidecarWith('ignorant', undefined));
  t.strictSame(shown(asked.answer(PRINTS).sidecars), ['shop/ignorant false true', 'shop/knowing true false']);
  clock.nowMs += LIFE_MS - 1;
  t.equal(asked.answer(PRINTS).sidecars.length, 2);
  clock.nowMs += 1;
  t.strictSame(shown(asked.answer(PRINTS).sidecars), ['shop/ignorant false true']);
  t.end();
});

t.test('of more than can be remembered the oldest are forgotten, and counted', (t) => {
  const { registry, survey: asked } = survey();
  const ignorant = sidecarWith('x', ROOTS.slice(0, 1));
  for (let index = 0; index < MAX_ABSENT_SIDECARS + 3; index += 1) {
    const one = { ...ignorant, workload: { ...ignorant.workload, name: `x-${index}` } };
    registry.add(one);
    registry.remove(one);
  }
  const { sidecars, forgotten } = asked.answer(PRINTS);
  t.equal(sidecars.length, MAX_ABSENT_SIDECARS);
  t.equal(forgotten, 3);
  t.equal(sidecars[0]?.name, 'shop/x-3');
  t.end();
});

t.test('of what several replicas know of one sidecar the better counts', (t) => {
  const one = (fields: Partial<SidecarTrust>): SidecarTrust => ({
    name: 'shop/a',
    identity: 'a',
    trusts: false,
    isConnected: true,
    untilMs: 0,
    ...fields,
  });
  const away = one({ isConnected: false, untilMs: 100 });
  const verdict = (...answers: readonly (readonly SidecarTrust[])[]) =>
    judgeTrust(
      answers.map((sidecars, index) => ({
        replica: String(index),
        answer: { sidecars, sinceMs: -RECONNECT_MS, forgotten: index },
      })),
      50,
    );
  t.match(verdict([away], [one({ trusts: true })]), { pending: [], absent: [], trusting: 1, forgotten: 1 });
  t.match(verdict([one({})], [one({ trusts: true })]), { pending: [], trusting: 1 }, 'it is moving');
  t.match(verdict([away], [one({})]), { pending: ['shop/a'], absent: [] });
  t.match(verdict([away], [{ ...away, trusts: true }]), { absent: [] });
  t.match(verdict([away], []), { absent: [{ name: 'shop/a', untilMs: 100 }] });
  t.match(verdict([{ ...away, untilMs: 50 }], []), { absent: [] });
  t.match(
    verdict([{ ...away, identity: 'b' }], [one({ trusts: true })]),
    { absent: [{ name: 'shop/a' }] },
    'another of that name',
  );
  t.end();
});
