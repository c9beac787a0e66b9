import { createHash } from 'node:crypto';
import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { RevocationListSpec } from '#policy/resource/kinds/revocation-list.ts';
import { compileTrust, NOBODY_REVOKED } from '#policy/trust/peer-trust.ts';
import { PeerVerdicts } from '#policy/trust/peer-verdicts.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { extension, uri } from '../x509/build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, NOW_MS, WEB } from '../x509/mesh-certificates.ts';

const AT = '2026-06-15T12:00:00Z';
const root = makeRoot();
const issuer = makeIssuer(root);
const domains = [{ trustDomain: 'cluster.local', rootsPem: certificatesToPem([root.certificate]) }];
const trustWithout = (revoked: Partial<RevocationListSpec>) =>
  compileTrust(domains, ['old.example'], { ...NOBODY_REVOKED, ...revoked });
const serialOf = (der: Buffer) => ({ serial: readCertificate(der).serial, at: AT, until: AT });

const sha256Of = (der: Buffer) => createHash('sha256').update(der).digest('hex');

/** Judges one peer before and after the revocations are in force. */
function beforeAndAfter(id: string, revoked: (leaf: Buffer) => Partial<RevocationListSpec>): readonly string[] {
  let trust = trustWithout({});
  const verdicts = new PeerVerdicts(() => trust);
  const leaf = makeLeaf(issuer, { extensions: leafExtensions(uri(id)) });
  const sha256 = sha256Of(leaf);
  const judge = () => {
    const verdict = verdicts.judge(sha256, () => [leaf, issuer.certificate], 'client', NOW_MS);
    return verdict.kind === 'refused' ? verdict.code : verdict.kind;
  };
  const before = judge();
  trust = trustWithout(revoked(leaf));
  return [before, judge()];
}

t.test('a peer that was accepted is refused once it, its certificate or its issuer is revoked', async (t) => {
  const wanted = ['accepted', 'certificate_revoked'];
  t.same(
    beforeAndAfter(WEB, () => ({ identities: [{ id: WEB, at: AT }] })),
    wanted,
    'the identity',
  );
  t.same(
    beforeAndAfter(WEB, (leaf) => ({ serials: [serialOf(leaf)] })),
    wanted,
    'the certificate',
  );
  t.same(
    beforeAndAfter(WEB, () => ({ serials: [serialOf(issuer.certificate)] })),
    wanted,
    'the issuer',
  );
  t.same(
    beforeAndAfter(WEB, () => ({ serials: [{ serial: 'ff', at: AT, until: AT }] })),
    ['accepted', 'accepted'],
  );
});

t.test('an identity is revoked under each name of its trust domain', async (t) => {
  const alias = WEB.replace('cluster.local', 'old.example');
  for (const [revoked, shown] of [
    [WEB, alias],
    [alias, WEB],
    [alias, alias],
  ] as const) {
    const wanted = ['accepted', 'certificate_revoked'];
    t.same(
      beforeAndAfter(shown, () => ({ identities: [{ id: revoked, at: AT }] })),
      wanted,
      `${revoked} as ${shown}`,
    );
  }
});

t.test('of what a peer sent its path alone is kept, of a memory of its own, and issuers once for all', async (t) => {
  const verdicts = new PeerVerdicts(() => trustWithout({}));
  const junk = makeIssuer(makeRoot('Stranger'), 'Junk', {
    extensions: [extension('1.2.3', false, Buffer.alloc(10_000))],
  });
  const peers = [makeLeaf(issuer), makeLeaf(issuer)].map((leaf) => {
    // as it may come: views of one large buffer
    const whole = Buffer.concat([leaf, issuer.certificate, junk.certificate]);
    const sent = [whole.subarray(0, leaf.length), whole.subarray(leaf.length, leaf.length + issuer.certificate.length)];
    const chain = [...sent, whole.subarray(leaf.length + issuer.certificate.length), root.certificate];
    const judgement = verdicts.judge(sha256Of(leaf), () => chain, 'client', NOW_MS);
    if (judgement.kind === 'refused') throw new Error(judgement.reason);
    t.strictSame(judgement.peer.chain, [leaf, issuer.certificate]);
    for (const der of judgement.peer.chain) t.equal(der.buffer.byteLength, der.length);
    return judgement.peer;
  });
  const [first, second] = peers;
  if (first === undefined) throw new Error('no peer');
  t.equal(first.chain[1], second?.chain[1]);
  t.match(new PeerVerdicts(() => trustWithout({})).judgeAgain(first, NOW_MS), { kind: 'accepted' });
});

t.test('who was accepted is not yet, when the clock is set back to before the certificate', async (t) => {
  const leaf = makeLeaf(issuer);
  const chain = [leaf, issuer.certificate];
  const seen = new PeerVerdicts(() => trustWithout({}));
  const signed = new PeerVerdicts(() => trustWithout({}));
  signed.remember(spiffeId('cluster.local', 'shop', 'web'), chain, 'client', NOW_MS + 1_000);
  for (const verdicts of [seen, signed]) {
    const judge = (nowMs: number) => verdicts.judge(sha256Of(leaf), () => chain, 'client', nowMs);
    t.match(judge(NOW_MS), { kind: 'accepted', peer: { id: { uri: WEB } } });
    t.match(judge(NOW_MS - 2 * 3_600_000), { kind: 'refused', code: 'certificate_not_yet_valid' });
  }
});
