import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { createAuthority } from '#control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import type { AuthorityMaterial } from '#control-plane/authority/authority-material.ts';
import { ISSUER_LIFETIME_MS, ISSUER_RENEWAL_REST_MS } from '#control-plane/authority/authority-store.ts';
import {
  formerAuthoritiesFromText,
  formerAuthoritiesToText,
  formerAuthorityOf,
  isSameIssuing,
  MAX_FORMER_AUTHORITIES,
} from '#control-plane/authority/former-authority.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { MESH } from '../control-plane-fixture.ts';

const HOUR_MS = 3_600_000;
const LIFETIME_MS = 24 * HOUR_MS;
const NOW_MS = Date.now();

const directory = t.testdir();
let count = 0;

/** A new authority, with a root of its own. */
function made(): Promise<AuthorityMaterial> {
  count += 1;
  return openAuthorityDirectory(join(directory, String(count)), MESH, NOW_MS);
}

/** The authority, and whose certificate signed a leaf of it. */
function authorityAt(material: AuthorityMaterial, nowMs: number) {
  const authority = createAuthority(material, { leafLifetimeMs: LIFETIME_MS, now: () => nowMs });
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' });
  const { chain } = authority.issue(spiffeId('cluster.local', 'shop', 'web'), key);
  const isSignedBy = ({ issuer }: Pick<AuthorityMaterial, 'issuer'>) => chain[1]?.equals(issuer.certificate) === true;
  return { authority, isSignedBy };
}

t.test('an issuer renewed under its root leaves nothing behind', async (t) => {
  const own = join(directory, 'renewed');
  const madeAtMs = NOW_MS - ISSUER_LIFETIME_MS + ISSUER_RENEWAL_REST_MS - 60_000;
  const before = await openAuthorityDirectory(own, MESH, madeAtMs);
  const after = await openAuthorityDirectory(own, MESH, NOW_MS);
  t.notOk(isSameIssuing(before, after));
  t.equal(formerAuthorityOf(before, after, NOW_MS, LIFETIME_MS), undefined);
});

t.test(
  'a root that everybody knows already needs no time; the one that is taken out stays trusted for a while',
  async (t) => {
    const [first, second] = [await made(), await made()];
    const roots = [...first.roots, ...second.roots];
    const both = { ...first, roots };
    const changed = { ...second, roots };
    t.equal(formerAuthorityOf(both, changed, NOW_MS, LIFETIME_MS), undefined, 'it signs at once, and all is trusted');
    const former = formerAuthorityOf(changed, second, NOW_MS, LIFETIME_MS);
    t.match(former, { signsUntilMs: NOW_MS });
    t.ok((former?.trustedUntilMs ?? 0) >= NOW_MS + LIFETIME_MS);
  },
);

t.test('a root that comes without overlap signs only once everybody was handed it', async (t) => {
  const [before, after] = [await made(), await made()];
  const former = formerAuthorityOf(before, after, NOW_MS, LIFETIME_MS);
  if (former === undefined) throw new Error('nothing kept');
  const material = { ...after, former: [former] };
  const hasRoots = (hours: number, ...wanted: AuthorityMaterial[]) => {
    const { trustBundle } = authorityAt(material, NOW_MS + hours * HOUR_MS).authority;
    t.strictSame(
      trustBundle.map((root) => root.toString('hex')).sort(),
      wanted.flatMap(({ roots }) => roots.map((root) => root.toString('hex'))).sort(),
      `roots after ${hours} hours`,
    );
  };
  t.ok(authorityAt(material, NOW_MS).isSignedBy(before), 'who knows the former root alone takes this leaf');
  t.ok(authorityAt(material, NOW_MS + LIFETIME_MS - 1).isSignedBy(before));
  t.ok(authorityAt(material, NOW_MS + LIFETIME_MS).isSignedBy(after));
  for (const hours of [0, 23, 25, 48]) hasRoots(hours, before, after);
  hasRoots(49, after);
});

t.test('a second change within the first goes through all of them in order', async (t) => {
  const [a, b, c] = [await made(), await made(), await made()];
  const kept = (before: AuthorityMaterial, after: AuthorityMaterial, atMs: number) => {
    const former = formerAuthorityOf(before, after, atMs, LIFETIME_MS);
    return former === undefined ? [] : [former];
  };
  const laterMs = NOW_MS + 10 * HOUR_MS;
  const material = { ...c, former: [...kept(a, b, NOW_MS), ...kept(b, c, laterMs)] };
  t.ok(authorityAt(material, laterMs).isSignedBy(a));
  t.ok(authorityAt(material, NOW_MS + 25 * HOUR_MS).isSignedBy(b));
  t.ok(authorityAt(material, NOW_MS + 35 * HOUR_MS).isSignedBy(c));
});

t.test('an issuer that has ended signs no more', async (t) => {
  const [before, after] = [await made(), await made()];
  const short = { ...before, issuer: { ...before.issuer, notAfterMs: NOW_MS + HOUR_MS } };
  const former = formerAuthorityOf(short, after, NOW_MS, LIFETIME_MS);
  t.match(former, { signsUntilMs: NOW_MS + HOUR_MS });
  t.ok(authorityAt({ ...after, former: former === undefined ? [] : [former] }, NOW_MS + HOUR_MS).isSignedBy(after));
});

t.test('what is stored reads the same, without what has ended; what is not of our making is refused', async (t) => {
  const [before, after] = [await made(), await made()];
  const former = formerAuthorityOf(before, after, NOW_MS, LIFETIME_MS);
  if (former === undefined) throw new Error('nothing kept');
  const text = formerAuthoritiesToText([former]);
  const [read] = formerAuthoritiesFromText(text, NOW_MS);
  t.ok(read !== undefined && isSameIssuing(read, before));
  t.match(read, { signsUntilMs: former.signsUntilMs, trustedUntilMs: former.trustedUntilMs });
  t.ok(authorityAt({ ...after, former: read === undefined ? [] : [read] }, NOW_MS).isSignedBy(before), 'its key too');
  t.strictSame(formerAuthoritiesFromText(text, former.trustedUntilMs), []);
  const many = formerAuthoritiesToText(Array.from({ length: MAX_FORMER_AUTHORITIES + 3 }, () => former));
  t.equal(formerAuthoritiesFromText(many, NOW_MS).length, MAX_FORMER_AUTHORITIES);
  const [entry] = JSON.parse(text);
  const other = new X509Certificate(after.issuer.certificate).toString();
  for (const broken of [
    '{}',
    '[1]',
    JSON.stringify([{ ...entry, issuer: other }]),
    JSON.stringify([{ ...entry, signsUntil: 'x' }]),
  ]) {
    t.throws(() => formerAuthoritiesFromText(broken, NOW_MS), { message: /former authorit/ });
  }
});
