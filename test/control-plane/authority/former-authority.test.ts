import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { createAuthority } from '#control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import type { AuthorityMaterial } from '#control-plane/authority/authority-material.ts';
import { ISSUER_LIFETIME_MS, ISSUER_RENEWAL_REST_MS } from '#control-plane/authority/authority-store.ts';
import {
  CLOCK_DIFFERENCE_MS,
  formerAfter,
  isSameIssuing,
  MAX_FORMER_AUTHORITIES,
} from '#control-plane/authority/former-authority.ts';
import { formerAuthoritiesFromText, formerAuthoritiesToText } from '#control-plane/authority/former-authority-text.ts';
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

/** What is kept after a change. */
const kept = (before: AuthorityMaterial, after: AuthorityMaterial, atMs = NOW_MS) =>
  formerAfter(before.former, before, after, atMs, LIFETIME_MS);

/** Takes the next authority into force, at that hour. */
function changed(before: AuthorityMaterial, after: AuthorityMaterial, hours: number): AuthorityMaterial {
  return { ...after, former: kept(before, after, NOW_MS + hours * HOUR_MS) };
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
  t.strictSame(kept(before, after), []);
});

t.test(
  'a root that everybody knows already needs no time; the one that is taken out stays trusted for a while',
  async (t) => {
    const [first, second] = [await made(), await made()];
    const roots = [...first.roots, ...second.roots];
    const both = { ...first, roots };
    const next = { ...second, roots };
    t.strictSame(kept(both, next), [], 'it signs at once, and all is trusted');
    const [former] = kept(next, second);
    t.match(former, { signsUntilMs: NOW_MS, privateKey: undefined });
    t.ok((former?.trustedUntilMs ?? 0) >= NOW_MS + LIFETIME_MS);
  },
);

t.test('a root that comes without overlap signs only once everybody was handed it', async (t) => {
  const [before, after] = [await made(), await made()];
  const [former] = kept(before, after);
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
  const material = changed(changed(a, b, 0), c, 10);
  t.ok(authorityAt(material, NOW_MS + 10 * HOUR_MS).isSignedBy(a));
  t.ok(authorityAt(material, NOW_MS + 25 * HOUR_MS).isSignedBy(b));
  t.ok(authorityAt(material, NOW_MS + 35 * HOUR_MS).isSignedBy(c));
});

t.test('a change that is taken back leaves the authority signing that everybody knows', async (t) => {
  const [a, b, c] = [await made(), await made(), await made()];
  const back = changed(changed(a, b, 0), a, 10);
  for (const hours of [10, 25, 35]) t.ok(authorityAt(back, NOW_MS + hours * HOUR_MS).isSignedBy(a), `after ${hours} h`);
  t.match(
    back.former,
    [{ privateKey: undefined, signsUntilMs: NOW_MS + 10 * HOUR_MS }],
    'who was handed B goes on trusting it',
  );
  t.equal(authorityAt(back, NOW_MS + 10 * HOUR_MS).authority.trustBundle.length, 2);

  const far = changed(changed(changed(a, b, 0), c, 5), a, 10);
  for (const hours of [10, 25, 35]) t.ok(authorityAt(far, NOW_MS + hours * HOUR_MS).isSignedBy(a), 'over two too');

  const again = changed(back, b, 11);
  t.ok(authorityAt(again, NOW_MS + 34 * HOUR_MS).isSignedBy(a), 'and B then waits anew');
  t.ok(authorityAt(again, NOW_MS + 35 * HOUR_MS).isSignedBy(b));
  const toB = changed(changed(changed(a, b, 0), c, 5), b, 10);
  t.ok(authorityAt(toB, NOW_MS + 23 * HOUR_MS).isSignedBy(a), 'back to one that nobody knew yet: as if never left');
  t.ok(authorityAt(toB, NOW_MS + 24 * HOUR_MS).isSignedBy(b));
});

t.test('a change taken back once the new root signs already waits again', async (t) => {
  const [a, b] = [await made(), await made()];
  const back = changed(changed(a, b, 0), a, 25);
  t.ok(authorityAt(back, NOW_MS + 48 * HOUR_MS).isSignedBy(b));
  t.ok(authorityAt(back, NOW_MS + 49 * HOUR_MS).isSignedBy(a));
});

t.test('whether a root is known is judged by who signs, not by who is in force', async (t) => {
  const [a, b, c] = [await made(), await made(), await made()];
  const both = [...b.roots, ...c.roots];
  const material = changed(changed(a, { ...b, roots: both }, 0), { ...c, roots: both }, 10);
  t.ok(authorityAt(material, NOW_MS + 10 * HOUR_MS).isSignedBy(a), 'B and C are known to nobody yet');
  t.ok(authorityAt(material, NOW_MS + 24 * HOUR_MS).isSignedBy(c), 'both were handed meanwhile');
});

t.test('a replica that sees later that a change was taken back finds that it was', async (t) => {
  const [a, b] = [await made(), await made()];
  const both = { ...a, roots: [...a.roots, ...b.roots] };
  const there = changed(a, b, 0);
  t.ok(
    kept(there, both).some((one) => isSameIssuing(one, b)),
    'by what took place, though all roots stay',
  );
});

t.test('more changes than are kept: who signs goes on, and nobody signs before the root is known', async (t) => {
  const all: AuthorityMaterial[] = [];
  for (let index = 0; index < MAX_FORMER_AUTHORITIES + 3; index += 1) all.push(await made());
  const [first, ...others] = all;
  const last = others.at(-1);
  if (first === undefined || last === undefined) throw new Error('none made');
  const material = others.reduce((before, after, hour) => changed(before, after, hour), first);
  t.equal(material.former.length, MAX_FORMER_AUTHORITIES);
  t.ok(authorityAt(material, NOW_MS + 23 * HOUR_MS).isSignedBy(first));
  const endMs = NOW_MS + (others.length - 1) * HOUR_MS + LIFETIME_MS;
  t.notOk(authorityAt(material, endMs - 1).isSignedBy(last));
  t.ok(authorityAt(material, endMs).isSignedBy(last));
  for (let hour = 0; hour < 48; hour += 1) {
    const signer = all.findIndex((one) => authorityAt(material, NOW_MS + hour * HOUR_MS).isSignedBy(one));
    t.ok(signer === 0 || hour >= signer - 1 + 24, `hour ${hour}: ${signer} is known for a life of a leaf`);
  }
});

t.test('more changes taken back than are kept: the oldest that signs no more goes', async (t) => {
  const own = await made();
  let material = own;
  for (let hour = 0; hour < MAX_FORMER_AUTHORITIES + 3; hour += 1) {
    material = changed(changed(material, await made(), hour), own, hour);
    t.ok(authorityAt(material, NOW_MS + hour * HOUR_MS).isSignedBy(own));
  }
  t.equal(material.former.length, MAX_FORMER_AUTHORITIES);
});

t.test('an issuer that has ended signs no more', async (t) => {
  const [before, after] = [await made(), await made()];
  const short = { ...before, issuer: { ...before.issuer, notAfterMs: NOW_MS + HOUR_MS } };
  const [former] = kept(short, after);
  t.match(former, { signsUntilMs: NOW_MS + HOUR_MS });
  t.ok(authorityAt({ ...after, former: former === undefined ? [] : [former] }, NOW_MS + HOUR_MS).isSignedBy(after));
});

t.test('what is stored reads the same, without what has ended; what is not of our making is refused', async (t) => {
  const [before, after] = [await made(), await made()];
  const [former] = kept(before, after);
  if (former === undefined) throw new Error('nothing kept');
  const text = formerAuthoritiesToText([former], NOW_MS);
  const from = (stored: string, nowMs = NOW_MS) => formerAuthoritiesFromText(stored, nowMs, LIFETIME_MS);
  const [read] = from(text);
  t.ok(read !== undefined && isSameIssuing(read, before));
  t.match(read, { signsUntilMs: former.signsUntilMs, trustedUntilMs: former.trustedUntilMs });
  t.ok(authorityAt({ ...after, former: read === undefined ? [] : [read] }, NOW_MS).isSignedBy(before), 'its key too');
  t.strictSame(from(text, former.trustedUntilMs), []);
  const [entry] = JSON.parse(text);
  const other = new X509Certificate(after.issuer.certificate).toString();
  const foreign = after.roots.map((root) => new X509Certificate(root).toString()).join('');
  for (const broken of [
    '{}',
    '[1]',
    JSON.stringify([{ ...entry, issuer: other }]),
    JSON.stringify([{ ...entry, signsUntil: 'x' }]),
    JSON.stringify([{ ...entry, roots: foreign }]),
    JSON.stringify(Array.from({ length: MAX_FORMER_AUTHORITIES + 1 }, () => entry)),
  ]) {
    t.throws(() => from(broken), { message: /former authorit/ });
  }
  const far = new Date(NOW_MS + 1_000 * LIFETIME_MS).toISOString();
  const [clamped] = from(JSON.stringify([{ ...entry, signsUntil: far, trustedUntil: far }]));
  t.match(
    clamped,
    { trustedUntilMs: former.trustedUntilMs + CLOCK_DIFFERENCE_MS },
    'no longer than a change now would give',
  );
  t.match(clamped, { signsUntilMs: former.signsUntilMs + CLOCK_DIFFERENCE_MS });
});

t.test('the key is stored no longer than it signs', async (t) => {
  const [before, after] = [await made(), await made()];
  const former = kept(before, after);
  const endMs = former[0]?.signsUntilMs ?? 0;
  t.match(formerAuthoritiesToText(former, endMs - 1), /PRIVATE KEY/);
  const text = formerAuthoritiesToText(former, endMs);
  t.notMatch(text, /PRIVATE KEY/);
  const read = formerAuthoritiesFromText(text, endMs, LIFETIME_MS);
  const { authority, isSignedBy } = authorityAt({ ...after, former: read }, endMs - 1);
  t.ok(isSignedBy(after));
  t.equal(authority.trustBundle.length, 2, 'its root is trusted on');
});
