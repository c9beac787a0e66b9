import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type FederatedBundles, openFederatedBundles } from '#control-plane/federation/federated-bundles.ts';
import type { FederatedDomainConfiguration } from '#control-plane/federation/federation-configuration.ts';
import { federationFile } from '#control-plane/federation/federation-state.ts';
import type { RefreshLimits } from '#control-plane/federation/keep-refreshed.ts';
import { spiffeBundleText } from '#policy/trust/spiffe-bundle.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { type Event, eventually } from '../control-plane-fixture.ts';
import { PARTNER, PARTNER_SERVER, PartnerEndpoint } from './partner-endpoint.ts';

/** A minute would be too long for a test; what the limits are is another's. */
const SOON: RefreshLimits = {
  shortestMs: 20,
  longestMs: 20,
  defaultMs: 20,
  backoff: { firstMs: 20, longestMs: 20 },
};

class Run {
  readonly events: Event[] = [];
  readonly store: ReturnType<typeof federationFile>;
  bundles: FederatedBundles | undefined;
  changes = 0;

  constructor(directory: string) {
    this.store = federationFile(join(directory, 'federation.json'));
  }

  async open(t: Test, domains: readonly FederatedDomainConfiguration[], limits = SOON): Promise<FederatedBundles> {
    const bundles = await openFederatedBundles({
      domains,
      store: this.store,
      log: (event, fields = {}) => this.events.push({ event, fields }),
      now: Date.now,
      limits,
    });
    bundles.onChange(() => {
      this.changes += 1;
    });
    t.teardown(() => bundles.close());
    this.bundles = bundles;
    return bundles;
  }

  /** Roots in force, as base64: what differs is readable. */
  get roots(): readonly string[] {
    return (this.bundles?.current ?? []).flatMap(({ roots }) => roots.map((root) => root.toString('base64')));
  }

  told(event: string): Event | undefined {
    return this.events.findLast((one) => one.event === event);
  }
}

const base64 = (roots: readonly Buffer[]) => roots.toSorted(Buffer.compare).map((root) => root.toString('base64'));
const rootsOf = (authority: TestAuthority) => certificatesFromPem(authority.rootPem);

function partner(endpoint: PartnerEndpoint, bundle = endpoint.authority.rootPem): FederatedDomainConfiguration {
  return {
    trustDomain: PARTNER,
    bundle: { kind: 'inline', value: bundle },
    endpoint: { profile: 'https_spiffe', url: endpoint.url, spiffeId: PARTNER_SERVER, trustDomain: PARTNER },
  };
}

t.test('the configured bundle is in force at once, before anybody answers', async (t) => {
  const run = new Run(t.testdir());
  const { rootPem } = new TestAuthority(PARTNER);
  const bundle = { kind: 'inline', value: rootPem } as const;
  const endpoint = { profile: 'https_web', url: 'https://127.0.0.1:9/', serverRootsFile: undefined } as const;
  const bundles = await run.open(t, [
    { trustDomain: PARTNER, bundle, endpoint: undefined },
    { trustDomain: 'other.example', bundle: undefined, endpoint },
  ]);
  t.strictSame(bundles.current, [{ trustDomain: PARTNER, roots: certificatesFromPem(rootPem) }]);
});

t.test('follows the roots of an endpoint, also when its own certificate is of the new one', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const run = new Run(t.testdir());
  await run.open(t, [partner(endpoint)]);
  const next = new TestAuthority(PARTNER);
  const both = [...endpoint.roots, ...rootsOf(next)];
  endpoint.publish(both, 2);
  await eventually('both roots', () => run.roots.length === 2);
  t.strictSame(run.roots, base64(both));
  endpoint.prove(next.leaf(PARTNER_SERVER));
  endpoint.publish(rootsOf(next), 3);
  await eventually('the new root alone', () => run.roots.length === 1);
  t.strictSame(run.roots, base64(rootsOf(next)));
  t.equal(run.changes, 2);
  t.match(run.told('federation_changed')?.fields, { trustDomain: PARTNER, roots: 1, sequence: '3' });
});

t.test('a sequence number that goes back with other roots is refused, and said', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const run = new Run(t.testdir());
  const before = endpoint.roots;
  endpoint.publish(before, 5);
  const bundles = await run.open(t, [partner(endpoint)]);
  await eventually('a first answer', () => bundles.facts[0]?.fetchedAtMs !== undefined);
  endpoint.publish(rootsOf(new TestAuthority(PARTNER)), 4);
  await eventually('the refusal', () => run.told('federation_refresh_failed') !== undefined);
  t.match(run.told('federation_refresh_failed')?.fields, {
    trustDomain: PARTNER,
    error: 'its sequence number went back from 5 to 4, and its roots are others; they are not taken',
    remedy: /put its present bundle in `bundle`/,
    rootsInForce: 1,
  });
  t.strictSame(run.roots, base64(before));
  t.match(bundles.facts, [{ failures: Number, lastError: /went back/ }]);
});

t.test('through an outage and a restart within it, what was served last stays in force', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const directory = t.testdir();
  const first = new Run(directory);
  const configuration = partner(endpoint);
  const next = new TestAuthority(PARTNER);
  const bundles = await first.open(t, [configuration]);
  endpoint.publish([...endpoint.roots, ...rootsOf(next)], 2);
  await eventually('both roots', () => first.roots.length === 2);
  endpoint.prove(next.leaf(PARTNER_SERVER));
  endpoint.publish(rootsOf(next), 3);
  await eventually('the new root alone', () => first.roots.length === 1);

  await endpoint.stop();
  await eventually('a failure', () => first.told('federation_refresh_failed') !== undefined);
  t.match(first.told('federation_refresh_failed')?.fields, { error: /ECONNREFUSED/, remedy: /can be reached/ });
  t.strictSame(first.roots, base64(rootsOf(next)), 'through the outage');
  const failures = first.events.filter(({ event }) => event === 'federation_refresh_failed').length;
  await eventually('more of them', () => (bundles.facts[0]?.failures ?? 0) >= failures + 3);
  t.equal(first.events.filter(({ event }) => event === 'federation_refresh_failed').length, failures, 'told once');
  await bundles.close();

  const second = new Run(directory);
  await second.open(t, [configuration]);
  t.strictSame(second.roots, base64(rootsOf(next)), 'and through the restart');
  await endpoint.start();
  await eventually('an answer', () => second.told('federation_refresh_recovered') !== undefined);
  t.strictSame(second.roots, base64(rootsOf(next)), 'whose server is of the root that was remembered alone');
});

t.test('a bundle that the operator changes counts as the newest, whatever its number', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const directory = t.testdir();
  const first = new Run(directory);
  endpoint.publish(endpoint.roots, 100);
  const bundles = await first.open(t, [partner(endpoint)]);
  await eventually('an answer', () => bundles.facts[0]?.fetchedAtMs !== undefined);
  await bundles.close();

  const anew = await PartnerEndpoint.start(t); // the other mesh was made anew: another root, numbers from 1
  const stubborn = new Run(directory);
  await stubborn.open(t, [{ ...partner(anew), bundle: { kind: 'inline', value: endpoint.authority.rootPem } }]);
  await eventually('a refusal', () => stubborn.told('federation_refresh_failed') !== undefined);
  await stubborn.bundles?.close();
  const told = new Run(directory);
  const reopened = await told.open(t, [partner(anew)]);
  await eventually('an answer of the new one', () => reopened.facts[0]?.fetchedAtMs !== undefined);
  t.strictSame(told.roots, base64(anew.roots));
});

t.test('a file is watched; a broken one is reported and changes nothing, also at a restart', async (t) => {
  const directory = t.testdir();
  const file = join(directory, 'partner.json');
  const [one, two] = [new TestAuthority(PARTNER), new TestAuthority(PARTNER)];
  await writeFile(file, one.rootPem);
  const configuration = { trustDomain: PARTNER, bundle: { kind: 'file', value: file }, endpoint: undefined } as const;
  const run = new Run(directory);
  await run.open(t, [configuration]);
  await writeFile(file, spiffeBundleText(rootsOf(two), 1, 300));
  await eventually('the changed file', () => run.roots[0] === base64(rootsOf(two))[0]);
  await writeFile(file, '{"keys": [');
  await eventually('the complaint', () => run.told('federation_bundle_unreadable') !== undefined);
  t.strictSame(run.roots, base64(rootsOf(two)));
  await run.bundles?.close();

  const again = new Run(directory);
  await again.open(t, [configuration]);
  t.strictSame(again.roots, base64(rootsOf(two)));
  t.match(again.told('federation_bundle_unreadable')?.fields, { trustDomain: PARTNER, error: /^not JSON/ });
  await again.bundles?.close();

  await rm(join(directory, 'federation.json'));
  await t.rejects(new Run(directory).open(t, [configuration]), {
    message: /^federation: bundle of partner\.example: not JSON/,
  });
});

t.test('what others may have written is not believed', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const directory = t.testdir();
  const configuration = partner(endpoint);
  const first = new Run(directory);
  const next = new TestAuthority(PARTNER);
  await first.open(t, [configuration]);
  endpoint.publish([...endpoint.roots, ...rootsOf(next)], 2);
  await eventually('both roots', () => first.roots.length === 2);
  await first.bundles?.close();
  await endpoint.stop();
  await chmod(join(directory, 'federation.json'), 0o620);
  const second = new Run(directory);
  await second.open(t, [configuration]);
  t.strictSame(second.roots, base64(rootsOf(endpoint.authority)), 'the configured one');
  t.match(second.told('federation_forgotten')?.fields, { error: /mode 620 is open to others/ });
});

t.test('a memory that cannot be read is none', async (t) => {
  const directory = t.testdir();
  const damaged = '{"format":1,"domains":[{"trustDomain":"partner.example"},3]}';
  await writeFile(join(directory, 'federation.json'), damaged, { mode: 0o600 });
  const { rootPem } = new TestAuthority(PARTNER);
  const run = new Run(directory);
  const configuration = {
    trustDomain: PARTNER,
    bundle: { kind: 'inline', value: rootPem },
    endpoint: undefined,
  } as const;
  await run.open(t, [configuration]);
  t.strictSame(run.roots, base64(certificatesFromPem(rootPem)));
});

t.test(
  'what is remembered can be read by its owner alone, and names no domain that is configured no more',
  async (t) => {
    const directory = t.testdir();
    const { rootPem } = new TestAuthority(PARTNER);
    const bundle = { kind: 'inline', value: rootPem } as const;
    const two = ['a.example', 'b.example'].map((trustDomain) => ({ trustDomain, bundle, endpoint: undefined }));
    const run = new Run(directory);
    await (await run.open(t, two)).close();
    const rest = new Run(directory);
    await (await rest.open(t, two.slice(1))).close();
    t.equal((await stat(join(directory, 'federation.json'))).mode & 0o777, 0o600);
    const text = await readFile(join(directory, 'federation.json'), 'utf8');
    t.match(JSON.parse(text), { format: 1, domains: [{ trustDomain: 'b.example' }] });
    t.notMatch(text, /a\.example/);
  },
);
