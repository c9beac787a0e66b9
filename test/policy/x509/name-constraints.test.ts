import t from 'tap';
import { nameConstraintComplaint } from '#policy/x509/check-name-constraints.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { verifyPeer } from '#policy/x509/verify-peer.ts';
import { commonName, der, directory, dns, email, ext, ip, NULL, oid, sequence, uri } from './build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, NOW_MS, trusting, WEB } from './mesh-certificates.ts';

const root = makeRoot();

function complaintOf(
  permitted: readonly Buffer[],
  excluded: readonly Buffer[],
  names: readonly Buffer[],
  subject?: Buffer,
): string | undefined {
  const issuer = readCertificate(
    makeIssuer(root, 'Issuing', { extensions: [ext.constraints(permitted, excluded)] }).certificate,
  );
  const change = { extensions: [ext.names(...names)], ...(subject === undefined ? {} : { subject }) };
  const constraints = issuer.extensions.nameConstraints;
  if (constraints === undefined) throw new Error('no constraints');
  return nameConstraintComplaint(constraints, readCertificate(makeLeaf(root, change)));
}

/** Constraint, name, whether the one is of the other. RFC 5280 §4.2.1.10. */
const MATCHES: readonly (readonly [Buffer, Buffer, boolean])[] = [
  [uri('cluster.local'), uri(WEB), true],
  [uri('CLUSTER.local'), uri(WEB), true],
  [uri('local'), uri(WEB), false],
  [uri('.local'), uri(WEB), true],
  [uri('.cluster.local'), uri(WEB), false],
  [uri('luster.local'), uri(WEB), false],
  [uri('.local'), uri('spiffe://a.b.local/ns/a/sa/b'), true],
  [uri('.local'), uri('spiffe://alocal/ns/a/sa/b'), false],
  [uri('host'), uri('https://user@host:443/path'), true],
  [uri('host'), uri('https://host?x'), true],
  [uri('host'), uri('https://host.evil/'), false],
  [uri('host'), uri('https://host@evil/'), false],
  [dns('example'), dns('example'), true],
  [dns('example'), dns('www.example'), true],
  [dns('example'), dns('wwwexample'), false],
  [dns('.example'), dns('example'), false],
  [dns('.example'), dns('WWW.Example'), true],
  [dns(''), dns('any.thing'), true],
  [ip(10, 0, 0, 0, 255, 0, 0, 0), ip(10, 1, 2, 3), true],
  [ip(10, 0, 0, 0, 255, 0, 0, 0), ip(11, 1, 2, 3), false],
  [ip(10, 0, 0, 0, 255, 0, 0, 0), ip(...Array(16).fill(10)), false],
];

t.test('a name is below a constraint or not: then it is permitted, or excluded, and only then', (t) => {
  for (const [constraint, name, isBelow] of MATCHES) {
    const what = `${constraint.subarray(2).toString('latin1')} and ${name.subarray(2).toString('latin1')}`;
    t.equal(complaintOf([constraint], [], [name]) === undefined, isBelow, `permitted: ${what}`);
    t.equal(complaintOf([], [constraint], [name]) === undefined, !isBelow, `excluded: ${what}`);
  }
  t.end();
});

t.test('a URI without the name of a host is neither permitted nor spared from exclusion', async (t) => {
  for (const text of [
    'urn:a:b',
    'spiffe:///ns/a',
    'https://10.0.0.1/',
    'https://[::1]/',
    'mailto:a@host',
    'spiffe://',
  ]) {
    t.match(complaintOf([uri('host')], [], [uri(text)]), /not among those/, text);
    t.match(complaintOf([], [uri('host')], [uri(text)]), /excluded/, text);
  }
});

t.test('constraints hold for each name of their form, and for no others', async (t) => {
  t.equal(complaintOf([dns('example')], [], [uri(WEB)]), undefined);
  t.match(complaintOf([dns('example')], [], [uri(WEB), dns('a.example'), dns('other')]), /"other" is not among/);
  t.equal(complaintOf([uri('a'), uri('cluster.local')], [], [uri(WEB)]), undefined, 'one of several is enough');
  t.match(complaintOf([uri('.local')], [uri('cluster.local')], [uri(WEB)]), /excluded/, 'exclusion comes first');
});

t.test('forms that cannot be compared are refused where a constraint is about them', async (t) => {
  const otherName = der(0xa0, oid('1.2.3'), der(0xa0, NULL));
  t.match(complaintOf([email('example')], [], [email('a@example')]), /cannot be judged/);
  t.match(complaintOf([], [otherName], [otherName]), /cannot be judged/);
  t.equal(complaintOf([email('example')], [], [uri(WEB)]), undefined);
  const address = sequence(der(0x31, sequence(oid('1.2.840.113549.1.9.1'), der(0x16, Buffer.from('a@b')))));
  t.match(complaintOf([email('example')], [], [uri(WEB)], address), /email/, 'an address in the subject');
});

t.test('subjects are compared part by part, and never by what they may be alike', async (t) => {
  const part = (text: string) => commonName(text).subarray(2);
  const [upper, whole] = [commonName('a'), sequence(part('a'), part('b'))];
  t.equal(complaintOf([directory(upper)], [], [uri(WEB)], whole), undefined);
  t.match(complaintOf([directory(upper)], [], [uri(WEB)], commonName('b')), /not among/);
  t.match(complaintOf([directory(whole)], [], [uri(WEB)], upper), /not among/);
  t.equal(complaintOf([directory(upper)], [], [uri(WEB)]), undefined, 'no subject');
  t.match(complaintOf([], [directory(commonName('b'))], [uri(WEB)], upper), /perhaps/);
  t.equal(complaintOf([], [directory(commonName('b'))], [uri(WEB)]), undefined);
});

t.test(
  'constraints of any issuer of the path count, the root among them; authorities issued by themselves are passed over',
  async (t) => {
    const bounded = (base: string) => [ext.authority(), ext.signing(), ext.constraints([uri(base)])];
    const verdictOf = (top: string | undefined, middle: string | undefined) => {
      const above = makeRoot('Top', undefined, undefined, top === undefined ? {} : { extensions: bounded(top) });
      const issuer = makeIssuer(above, 'Middle', middle === undefined ? {} : { extensions: bounded(middle) });
      return verifyPeer(
        [makeLeaf(issuer), issuer.certificate],
        trusting({ 'cluster.local': [above] }),
        NOW_MS,
        'client',
      );
    };
    t.match(verdictOf('cluster.local', '.local'), { kind: 'accepted' });
    t.match(verdictOf('other', '.local'), { code: 'name_constraint_violated', reason: /root "CN=Top"/ });
    t.match(verdictOf('.local', 'other'), { code: 'name_constraint_violated', reason: /issuer "CN=Middle"/ });

    const above = makeRoot('Top', undefined, undefined, { extensions: bounded('cluster.local') });
    const selfIssued = (extensions: readonly Buffer[]) => {
      const issuer = makeIssuer(above, 'Top', { extensions });
      const chain = [makeLeaf(issuer, { extensions: leafExtensions() }), issuer.certificate];
      return verifyPeer(chain, trusting({ 'cluster.local': [above] }), NOW_MS, 'client');
    };
    const foreign = ext.names(uri('spiffe://other'));
    t.match(selfIssued([ext.authority(), ext.signing(), foreign]), { kind: 'accepted' });
  },
);
