import t from 'tap';
import type { Provider } from '#policy/authorization/provider.ts';
import type { Service } from '#policy/workload-policy.ts';
import type { ProviderWay } from '#sidecar/authorization/provider-checks.ts';
import { MAX_CHECKS_IN_FLIGHT, Providers } from '#sidecar/authorization/providers.ts';
import { PeerPools } from '#sidecar/outbound/peer-pools.ts';

const provider: Provider = {
  ...{ name: 'slow', namespace: undefined, host: '127.0.0.1', port: 1, timeoutMs: 60_000, failOpen: true },
  ...{ statusOnError: 403, body: undefined, http: undefined },
};
const checked = {
  ...{ principal: '', address: '127.0.0.1', port: 1, ownPrincipal: '', ownAddress: '', ownPort: 1 },
  ...{ serverName: undefined, startedAtMs: 0, http: undefined },
};

t.test(
  'checks of one provider under way are bounded, also where it fails open, and end with their request',
  async (t) => {
    const silent = { send: () => ({ response: new Promise<never>(() => {}), cancel: () => {} }), close: () => {} };
    const pools = new PeerPools(
      () => silent,
      () => undefined,
    );
    t.teardown(() => pools.close());
    const providers = new Providers(() => pools);
    const none = (): Service | undefined => undefined;
    const defaults = { outbound: 'RegistryOnly' } as ProviderWay['defaults'];
    const way = { defaults, services: { resolve: none, resolveAddress: none, protocolOf: () => undefined } };
    const ending = new AbortController();
    const asked = Array.from({ length: MAX_CHECKS_IN_FLIGHT }, () =>
      providers.ask(provider, way, checked, ending.signal),
    );
    await t.rejects(providers.ask(provider, way, checked, ending.signal), { code: 'overloaded' });
    const other = providers.ask({ ...provider, name: 'other', timeoutMs: 20 }, way, checked, ending.signal);
    t.match(await other, { kind: 'failed', reason: /within timeout 20 ms/ }, 'another provider is asked all the same');
    const inFlight = () => providers.gauges[2]?.read().find(([labels]) => labels.includes('slow'))?.[1];
    t.equal(inFlight(), MAX_CHECKS_IN_FLIGHT);
    ending.abort(new Error('the caller is gone'));
    const ends = await Promise.allSettled(asked);
    t.ok(ends.every((end) => end.status === 'rejected' && /the caller is gone/.test(String(end.reason))));
    t.equal(inFlight(), 0);
  },
);
