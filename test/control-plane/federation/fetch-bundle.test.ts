import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { BundleEndpointConfiguration } from '#control-plane/federation/federation-configuration.ts';
import { fetchBundle } from '#control-plane/federation/fetch-bundle.ts';
import { MAX_BUNDLE_BYTES, readSpiffeBundle } from '#policy/trust/spiffe-bundle.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { PARTNER, PARTNER_SERVER, PartnerEndpoint } from './partner-endpoint.ts';

const NEVER = new AbortController().signal;

function spiffe(endpoint: PartnerEndpoint, spiffeId = PARTNER_SERVER): BundleEndpointConfiguration {
  return { profile: 'https_spiffe', url: endpoint.url, spiffeId, trustDomain: PARTNER };
}

t.test('https_spiffe: takes the bundle of a server with the identity that was named', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const text = await fetchBundle(spiffe(endpoint), () => endpoint.roots, NEVER);
  t.strictSame(readSpiffeBundle(text).roots, endpoint.roots);
});

t.test('https_spiffe: refuses a server that is another, or of another root', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const roots = endpoint.roots;
  const { authority } = endpoint;
  const ask = () => fetchBundle(spiffe(endpoint), () => roots, NEVER);
  endpoint.prove(authority.leaf(`spiffe://${PARTNER}/ns/shop/sa/web`));
  await t.rejects(ask(), { message: /the server proved spiffe:.*web, expected spiffe:.*spire\/server/ });
  endpoint.prove(new TestAuthority(PARTNER).leaf(PARTNER_SERVER));
  await t.rejects(ask(), { message: /unable to (verify|get)/ });
  endpoint.prove(authority.leaf(PARTNER_SERVER, Date.now() - 3_600_000, 60_000));
  await t.rejects(ask(), { message: /expired/ });
  t.equal(endpoint.requests, 0, 'none of them was asked');
  endpoint.prove(authority.leaf(PARTNER_SERVER));
  await ask();
});

t.test(
  'https_spiffe: without a bundle of the domain nobody is believed, not even whom the system trusts',
  async (t) => {
    const endpoint = await PartnerEndpoint.start(t);
    await t.rejects(
      fetchBundle(spiffe(endpoint), () => undefined, NEVER),
      { message: /no bundle of partner\.example/ },
    );
    await t.rejects(
      fetchBundle(spiffe(endpoint), () => [], NEVER),
      { message: /no bundle of partner\.example/ },
    );
  },
);

t.test('https_web: the certificate must be of the host that the URL names', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const serverRootsFile = join(t.testdir(), 'roots.pem');
  await writeFile(serverRootsFile, endpoint.authority.rootPem);
  const ask = (url: string) => fetchBundle({ profile: 'https_web', url, serverRootsFile }, () => undefined, NEVER);
  await t.rejects(ask(endpoint.url), { message: /does not match|altnames/i });
  const web = endpoint.authority.webLeaf('localhost');
  endpoint.prove(web);
  const text = await ask(endpoint.url.replace('127.0.0.1', 'localhost'));
  t.strictSame(readSpiffeBundle(text).roots, endpoint.roots);
  const bySystem = fetchBundle(
    { profile: 'https_web', url: endpoint.url, serverRootsFile: undefined },
    () => [],
    NEVER,
  );
  await t.rejects(bySystem, { message: /unable to|self.signed/ });
});

t.test('follows a redirection to another bundle endpoint only, and not for ever', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const next = await PartnerEndpoint.start(t);
  const ask = () => fetchBundle(spiffe(endpoint), () => endpoint.roots, NEVER);
  const leadTo = (location: string) => {
    endpoint.answer = { status: 307, headers: { location }, body: '' };
  };
  leadTo(next.url);
  await t.rejects(ask(), { message: /unable to (verify|get)/ }, 'the next is of another root');
  next.prove(endpoint.authority.leaf(PARTNER_SERVER));
  t.strictSame(readSpiffeBundle(await ask()).roots, next.roots);
  leadTo('http://127.0.0.1:1/');
  await t.rejects(ask(), { message: /redirects to where no bundle is fetched from: .*not an https/ });
  leadTo('https://user@127.0.0.1:1/');
  await t.rejects(ask(), { message: /holds no user name/ });
  leadTo('/bundle');
  await t.rejects(ask(), { message: /more than 3 redirections/ });
});

t.test('refuses an answer that is none, or without end', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const ask = () => fetchBundle(spiffe(endpoint), () => endpoint.roots, NEVER);
  endpoint.answer = { status: 404, body: 'not here' };
  await t.rejects(ask(), { message: /answered 404, expected 200/ });
  endpoint.answer = { body: 'x'.repeat(MAX_BUNDLE_BYTES + 1) };
  await t.rejects(ask(), { message: /exceeds the limit of 131072 bytes/ });
  endpoint.answer = { headers: { 'content-length': '100' }, body: 'short' };
  await t.rejects(ask(), 'the connection ends too early');
});

t.test('ends with its signal', async (t) => {
  const endpoint = await PartnerEndpoint.start(t);
  const ending = new AbortController();
  const asked = fetchBundle(spiffe(endpoint), () => endpoint.roots, ending.signal);
  ending.abort();
  await t.rejects(asked, { message: /abort/ });
});
