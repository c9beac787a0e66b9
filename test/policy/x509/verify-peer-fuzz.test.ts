import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { MAX_SIGNATURES } from '#policy/x509/find-path.ts';
import { keyComplaint } from '#policy/x509/public-key.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { MAX_CHAIN_LENGTH, type PeerVerdict, verifyPeer } from '#policy/x509/verify-peer.ts';
import { ALGORITHM, der, ecPair, ext, rsaPair, uri } from './build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, NOW_MS, trusting, WEB } from './mesh-certificates.ts';

const root = makeRoot();
const issuer = makeIssuer(root, 'Issuing', {
  extensions: [ext.authority(0), ext.signing(), ext.keyIdentifier(Buffer.of(7))],
});
const leaf = makeLeaf(issuer, { extensions: [...leafExtensions(), ext.issuerKeyIdentifier(Buffer.of(7))] });
const trust = trusting({ 'cluster.local': [root] });
const CHAIN = [leaf, issuer.certificate];
/** CPU of one verification; generous, as machines are slow: the bound is for what would take seconds. */
const MAX_RUN_MS = 500;

const verdictOf = (chain: readonly Buffer[]) => verifyPeer(chain, trust, NOW_MS, 'client');

/** True when nobody was believed by it but who the chain is of; never a fault of ours. */
function isHarmless(verdict: PeerVerdict): boolean {
  return verdict.kind === 'accepted' ? verdict.id.uri === WEB : verdict.code !== 'internal_error';
}

t.test('the chain itself is good', async (t) => {
  t.match(verdictOf(CHAIN), { kind: 'accepted', id: { uri: WEB } });
});

for (const [which, what] of ['leaf', 'intermediate'].entries()) {
  const original = CHAIN[which] ?? leaf;
  const chainWith = (bytes: Buffer) => CHAIN.map((each, index) => (index === which ? bytes : each));

  t.test(`the ${what} of which any byte is another is refused`, (t) => {
    const codes = new Map<string, number>();
    const accepted: string[] = [];
    for (let index = 0; index < original.length; index++) {
      for (const flip of [0x01, 0x20, 0x80, 0xff]) {
        const bent = Buffer.from(original);
        bent[index] = (bent[index] ?? 0) ^ flip;
        const verdict = verdictOf(chainWith(bent));
        if (verdict.kind === 'accepted') accepted.push(`${index} ^ ${flip}`);
        else codes.set(verdict.code, (codes.get(verdict.code) ?? 0) + 1);
      }
    }
    t.same(accepted, [], 'nothing of a certificate is free to choose');
    t.notOk(codes.has('internal_error'));
    t.ok((codes.get('malformed_certificate') ?? 0) > original.length / 10, `${[...codes]}`);
    t.ok(codes.size > 2, `${[...codes]}`);
    t.end();
  });

  t.test(`the ${what}, if it is cut short, or longer, is malformed`, (t) => {
    for (let length = 0; length < original.length; length++) {
      const verdict = verdictOf(chainWith(original.subarray(0, length)));
      if (verdict.kind !== 'refused' || verdict.code !== 'malformed_certificate') t.fail(`${length} bytes`);
    }
    t.match(verdictOf(chainWith(Buffer.concat([original, original]))), { code: 'malformed_certificate' });
    t.end();
  });

  t.test(`the ${what} with a byte inserted or left out anywhere is refused`, (t) => {
    for (let index = 0; index <= original.length; index++) {
      const [before, after] = [original.subarray(0, index), original.subarray(index)];
      for (const bytes of [Buffer.concat([before, Buffer.of(0), after]), Buffer.concat([before, after.subarray(1)])]) {
        if (bytes.equals(original)) continue;
        const verdict = verdictOf(chainWith(bytes));
        if (verdict.kind !== 'refused' || verdict.code === 'internal_error')
          t.fail(`at ${index}: ${JSON.stringify(verdict)}`);
      }
    }
    t.end();
  });
}

t.test('pieces of certificates put together at random convince nobody', (t) => {
  const other = makeLeaf(makeRoot('Stranger'), {
    extensions: leafExtensions(uri('spiffe://cluster.local/ns/shop/sa/admin')),
  });
  const pieces = [leaf, issuer.certificate, other];
  const piece = fc.tuple(fc.nat(pieces.length - 1), fc.nat(2_000), fc.nat(2_000)).map(([which, from, to]) => {
    const bytes = pieces[which] ?? leaf;
    return bytes.subarray(from % bytes.length, (to % bytes.length) + 1);
  });
  const spliced = fc.array(piece, { minLength: 1, maxLength: 4 }).map((parts) => Buffer.concat(parts));
  // the same, within a structure whose outer lengths are right
  const wrapped = fc.array(spliced, { maxLength: 4 }).map((parts) => der(0x30, ...parts));
  const mixed = fc.oneof(spliced, wrapped, fc.constantFrom(...pieces));
  fc.assert(
    fc.property(fc.array(mixed, { maxLength: 4 }), (chain) => isHarmless(verdictOf(chain))),
    { numRuns: 3_000 },
  );
  t.end();
});

t.test('a value of another type, length or content at any place convinces nobody', (t) => {
  const change = fc.record({ at: fc.nat(2_000), left: fc.nat(40), put: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), fc.boolean(), (changes, isLeaf) => {
      let bytes: Buffer = isLeaf ? leaf : issuer.certificate;
      for (const { at, left, put } of changes) {
        const place = at % (bytes.length + 1);
        bytes = Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(place + left)]);
      }
      return isHarmless(verdictOf(isLeaf ? [bytes, issuer.certificate] : [leaf, bytes]));
    }),
    { numRuns: 3_000 },
  );
  t.end();
});

t.test('what is read of a bent certificate is what OpenSSL reads of it', (t) => {
  let read = 0;
  for (let index = 0; index < leaf.length; index++) {
    for (let bit = 0; bit < 8; bit++) {
      const bent = Buffer.from(leaf);
      bent[index] = (bent[index] ?? 0) ^ (1 << bit);
      let ours: ReturnType<typeof readCertificate>;
      try {
        ours = readCertificate(bent);
      } catch {
        continue;
      }
      // a kind of key that neither knows is left to later here, and OpenSSL does not read the certificate for it
      if (keyComplaint(ours.key, true) !== undefined) continue;
      read++;
      let theirs: X509Certificate;
      try {
        theirs = new X509Certificate(bent);
      } catch (error) {
        t.fail(
          `byte ${index}, bit ${bit}: OpenSSL does not read it: ${error instanceof Error ? error.message : error}`,
        );
        continue;
      }
      const isSame =
        ours.serial === theirs.serialNumber.toLowerCase() &&
        ours.notBeforeMs === theirs.validFromDate.getTime() &&
        ours.notAfterMs === theirs.validToDate.getTime();
      if (!isSame) t.fail(`byte ${index}, bit ${bit}: ${ours.serial} ${theirs.serialNumber}`);
    }
  }
  t.ok(read > leaf.length, `${read} were read`);
  t.end();
});

t.test('work is bounded: many names, many issuers of one name, many roots', (t) => {
  const costly = rsaPair(2048);
  const twins = Array.from(
    { length: MAX_CHAIN_LENGTH - 1 },
    () => makeIssuer(root, 'Issuing', {}, ecPair()).certificate,
  );
  const roots = Array.from({ length: 40 }, () => makeRoot('Issuing'));
  const many = trusting({ 'cluster.local': roots });
  // every authority of one name certifies every other: paths without end
  const ring = Array.from(
    { length: MAX_CHAIN_LENGTH - 1 },
    () => makeIssuer({ ...root, name: issuer.name, pair: issuer.pair }, 'Issuing', {}, issuer.pair).certificate,
  );
  const rsa = makeRoot('Issuing', costly, ALGORITHM.rsaSha256);
  const names = Array.from({ length: 128 }, () => uri(`spiffe://${'a'.repeat(60)}`));
  const runs: { readonly [what: string]: () => PeerVerdict } = {
    'issuers of one name': () => verdictOf([leaf, ...twins]),
    'roots of one name': () => verifyPeer([leaf], many, NOW_MS, 'client'),
    'a ring of issuers': () => verifyPeer([leaf, ...ring], trusting({ 'cluster.local': [rsa] }), NOW_MS, 'client'),
    'many names': () => verdictOf([makeLeaf(root, { extensions: [ext.names(...names)] })]),
    'bytes of zero': () => verdictOf([Buffer.alloc(16 * 1024)]),
    'nested sequences': () =>
      verdictOf([Array.from({ length: 4_000 }).reduce<Buffer>((inner) => der(0x30, inner), Buffer.alloc(0))]),
  };
  for (const [what, run] of Object.entries(runs)) {
    const begun = process.cpuUsage();
    t.match(run(), { kind: 'refused' }, what);
    const { user, system } = process.cpuUsage(begun);
    t.ok((user + system) / 1_000 < MAX_RUN_MS, `${what}: ${(user + system) / 1_000} ms of CPU`);
  }
  t.match(verifyPeer([leaf], many, NOW_MS, 'client'), { reason: new RegExp(`first ${MAX_SIGNATURES} signatures`) });
  t.end();
});
