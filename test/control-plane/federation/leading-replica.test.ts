import t, { type Test } from 'tap';
import { type FederatedBundles, openFederatedBundles } from '#control-plane/federation/federated-bundles.ts';
import type { FederationMemory, FederationStore } from '#control-plane/federation/federation-state.ts';
import type { RefreshLimits } from '#control-plane/federation/keep-refreshed.ts';
import { eventually } from '../control-plane-fixture.ts';
import { PARTNER, PARTNER_SERVER, PartnerEndpoint } from './partner-endpoint.ts';

/** Once asked, an endpoint is not asked again within this test but for a reason. */
const SELDOM: RefreshLimits = {
  shortestMs: 3_600_000,
  longestMs: 3_600_000,
  defaultMs: 3_600_000,
  backoff: { firstMs: 3_600_000, longestMs: 3_600_000 },
};

/** As a Secret, which the leader alone writes. */
class LedStore implements FederationStore {
  isLeader = false;
  stored: FederationMemory | undefined;
  async read() {
    return this.stored;
  }
  async write(memory: FederationMemory) {
    if (this.isLeader) this.stored = memory;
  }
}

async function open(t: Test, endpoint: PartnerEndpoint, store: FederationStore): Promise<FederatedBundles> {
  const bundles = await openFederatedBundles({
    domains: [
      {
        trustDomain: PARTNER,
        bundle: { kind: 'inline', value: endpoint.authority.rootPem },
        endpoint: { profile: 'https_spiffe', url: endpoint.url, spiffeId: PARTNER_SERVER, trustDomain: PARTNER },
      },
    ],
    store,
    log: () => {},
    now: Date.now,
    limits: SELDOM,
  });
  t.teardown(() => bundles.close());
  return bundles;
}

t.test('who becomes the leader after it has asked stores what it knows, and asks at once', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const store = new LedStore();
  const bundles = await open(t, endpoint, store);
  await eventually('the endpoint was asked', () => bundles.facts[0]?.fetchedAtMs !== undefined);
  const askedAtMs = bundles.facts[0]?.fetchedAtMs ?? 0;
  t.equal(store.stored, undefined, 'another may lead');
  store.isLeader = true;
  await bundles.storeAnew();
  await eventually('it is stored', () => store.stored?.bundles.has(PARTNER) === true);
  await eventually('it was asked again', () => (bundles.facts[0]?.fetchedAtMs ?? 0) > askedAtMs);
});

t.test('what a leader of before has stored is left where the endpoint cannot be asked', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const store = new LedStore();
  const bundles = await open(t, endpoint, store);
  await eventually('the endpoint was asked', () => bundles.facts[0]?.fetchedAtMs !== undefined);
  const newer: FederationMemory = { bundles: new Map(), own: undefined };
  store.stored = newer;
  store.isLeader = true;
  await endpoint.stop();
  await bundles.storeAnew();
  await eventually('it was tried', () => (bundles.facts[0]?.failures ?? 0) > 0);
  t.equal(store.stored, newer);
});
