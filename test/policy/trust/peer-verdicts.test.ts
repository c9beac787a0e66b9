import { createHash } from 'node:crypto';
import t from 'tap';
import type { RevocationListSpec } from '#policy/resource/kinds/revocation-list.ts';
import { compileTrust, NOBODY_REVOKED } from '#policy/trust/peer-trust.ts';
import { PeerVerdicts } from '#policy/trust/peer-verdicts.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { uri } from '../x509/build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, NOW_MS, WEB } from '../x509/mesh-certificates.ts';

const AT = '2026-06-15T12:00:00Z';
const root = makeRoot();
const issuer = makeIssuer(root);
const domains = [{ trustDomain: 'cluster.local', rootsPem: certificatesToPem([root.certificate]) }];
const trustWithout = (revoked: Partial<RevocationListSpec>) =>
  compileTrust(domains, ['old.example'], { ...NOBODY_REVOKED, ...revoked });
const serialOf = (der: Buffer) => ({ serial: readCertificate(der).serial, at: AT, until: AT });

/** Judges one peer before and after the revocations are in force. */
function beforeAndAfter(id: string, revoked: (leaf: Buffer) => Partial<RevocationListSpec>): readonly string[] {
  let trust = trustWithout({});
  const verdicts = new PeerVerdicts(() => trust);
  const leaf = makeLeaf(issuer, { extensions: leafExtensions(uri(id)) });
  const sha256 = createHash('sha256').update(leaf).digest('hex');
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
