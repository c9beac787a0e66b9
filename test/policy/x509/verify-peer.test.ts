import t from 'tap';
import { CERTIFICATE_CODES } from '#policy/error/certificate-codes.ts';
import { type VerificationTrust, verifyPeer } from '#policy/x509/verify-peer.ts';
import {
  ALGORITHM,
  bits,
  commonName,
  der,
  directory,
  dns,
  ecPair,
  ext,
  extension,
  NULL,
  oid,
  rsaPair,
  sequence,
  spki,
  time,
  uri,
} from './build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, NOW_MS, trusting, WEB } from './mesh-certificates.ts';
import { MALFORMED, REVOKED, TIMES, USAGES } from './refused-certificates.ts';
import { CHAINS, rsaRoot, WEAK } from './refused-chains.ts';
import { IDENTITIES } from './refused-identities.ts';
import {
  below,
  constrainedBy,
  federated,
  leafWith,
  name,
  namesake,
  root,
  stranger,
  trust,
  trustIn,
} from './refused-row.ts';

const USES = ['client', 'server'] as const;

const TABLES = { IDENTITIES, CHAINS, WEAK, USAGES, TIMES, REVOKED, MALFORMED };

for (const [kind, rows] of Object.entries(TABLES)) {
  t.test(`${kind.toLowerCase()} that are refused`, (t) => {
    for (const [what, row] of Object.entries(rows)) {
      for (const use of row.uses ?? USES) {
        const verdict = verifyPeer(row.chain, row.trust ?? trust, row.nowMs ?? NOW_MS, use);
        t.match(verdict, { kind: 'refused', code: row.code, reason: row.reason }, `${what}, as ${use}`);
      }
    }
    t.end();
  });
}

t.test('every code of a refused certificate has its row', (t) => {
  const seen = new Set<string>(Object.values(TABLES).flatMap((rows) => Object.values(rows).map(({ code }) => code)));
  for (const code of Object.keys(CERTIFICATE_CODES)) t.ok(seen.has(code), code);
  t.end();
});

const p384Root = makeRoot('P-384', ecPair('P-384'), ALGORITHM.ecdsaSha384);
const p521Root = makeRoot('P-521', ecPair('P-521'), ALGORITHM.ecdsaSha512);
const upper = makeIssuer(root, 'Upper', { extensions: [ext.authority(1), ext.signing()] });
const lower = makeIssuer(upper, 'Lower', { extensions: [ext.authority(0), ext.signing()] });
const rsaIssuer = makeIssuer(root, 'RSA issuing', {}, rsaPair(2048), ALGORITHM.rsaSha256WithoutNull);
const identified = makeRoot('Root', ecPair(), ALGORITHM.ecdsaSha256, {
  extensions: [ext.authority(), ext.keyIdentifier(Buffer.of(1))],
});
const crossed = makeIssuer(stranger, 'Crossed', {}, ecPair());
const crossedByRoot = makeIssuer(root, 'Crossed', {}, crossed.pair);

const GOOD: { readonly [what: string]: { readonly chain: readonly Buffer[]; readonly trust?: VerificationTrust } } = {
  'no intermediate': { chain: [makeLeaf(root)] },
  'one intermediate': { chain: below(makeIssuer(root)) },
  'two intermediates': { chain: below(lower, upper) },
  'two intermediates in the other order': { chain: [makeLeaf(lower), upper.certificate, lower.certificate] },
  'its root sent along': { chain: below(lower, upper, root) },
  'certificates that lead nowhere': { chain: below(lower, stranger, namesake, upper, federated) },
  'a leaf of P-384': { chain: [makeLeaf(root, { subjectPublicKeyInfo: spki(ecPair('P-384')) })] },
  'a leaf of RSA-2048': { chain: [makeLeaf(root, { subjectPublicKeyInfo: spki(rsaPair(2048)) })] },
  'a root of P-384': { chain: [makeLeaf(p384Root)], trust: trustIn(p384Root) },
  'a root of P-521': { chain: [makeLeaf(p521Root)], trust: trustIn(p521Root) },
  'a root of RSA-2048': { chain: [makeLeaf(rsaRoot)], trust: trustIn(rsaRoot) },
  'an issuer of RSA-2048 whose algorithm has no parameters': { chain: below(rsaIssuer) },
  'a namesake of the root among the trusted': { chain: [makeLeaf(root)], trust: trustIn(namesake, root) },
  'an issuer certified twice, first by a stranger': {
    chain: [makeLeaf(crossed), crossed.certificate, crossedByRoot.certificate],
  },
  'an issuer certified twice, last by a stranger': {
    chain: [makeLeaf(crossed), crossedByRoot.certificate, crossed.certificate],
  },
  'an intermediate that is itself trusted': { chain: [makeLeaf(lower)], trust: trustIn(lower) },
  'a key identifier that its issuer does not state so': {
    chain: [makeLeaf(identified, { extensions: [...leafExtensions(), ext.issuerKeyIdentifier(Buffer.of(9))] })],
    trust: trustIn(identified),
  },
  'DNS names beside the identity': {
    chain: [makeLeaf(root, { extensions: leafExtensions(dns('web.shop'), uri(WEB), dns('web')) })],
  },
  'a subject': { chain: [makeLeaf(root, { subject: commonName('web') })] },
  'a subject with a unique identifier': {
    chain: [makeLeaf(root, { subject: sequence(der(0x31, sequence(oid('2.5.4.45'), bits(0, 1, 2)))) })],
  },
  'neither key usages nor basic constraints': { chain: leafWith(name) },
  'an extension that is not known and not critical': {
    chain: [makeLeaf(root, { extensions: [...leafExtensions(), extension('1.2.3.4', false, NULL)] })],
  },
  'an issuer for its very trust domain': { chain: constrainedBy([uri('cluster.local')]) },
  'an issuer for all any usage': {
    chain: below(makeIssuer(root, 'Any', { extensions: [ext.authority(), ext.usages('2.5.29.37.0')] })),
  },
  'an issuer whose constraints are about other names': {
    chain: constrainedBy([dns('example')], [directory(commonName('x'))]),
  },
};

t.test('good chains are accepted, as of clients and of servers', (t) => {
  for (const [what, { chain, trust: believed = trust }] of Object.entries(GOOD)) {
    for (const use of USES) {
      const verdict = verifyPeer(chain, believed, NOW_MS, use);
      t.match(verdict, { kind: 'accepted', id: { uri: WEB } }, `${what}, as ${use}`);
    }
  }
  t.end();
});

t.test('an ID of 2,048 bytes is one', (t) => {
  const id = `spiffe://cluster.local/ns/shop/sa/${'a'.repeat(2048 - 34)}`;
  t.equal(id.length, 2048);
  const chain = [makeLeaf(root, { extensions: leafExtensions(uri(id)) })];
  t.match(verifyPeer(chain, trust, NOW_MS, 'client'), { kind: 'accepted', id: { uri: id } });
  t.end();
});

t.test('ends of validity belong to it', (t) => {
  for (const nowMs of [NOW_MS - 3_600_000, NOW_MS + 3_600_000]) {
    t.match(verifyPeer([makeLeaf(root)], trust, nowMs, 'client'), { kind: 'accepted' });
  }
  t.end();
});

t.test('a verdict holds from the latest begin to the first end of the path', (t) => {
  const brief = makeIssuer(root, 'Brief', { notBefore: time(NOW_MS - 1_000), notAfter: time(NOW_MS + 2_000) });
  const verdict = verifyPeer([makeLeaf(brief), brief.certificate], trust, NOW_MS, 'server');
  t.match(verdict, { kind: 'accepted', notBeforeMs: NOW_MS - 1_000, notAfterMs: NOW_MS + 2_000 });
  t.end();
});

t.test('what was accepted once is refused when its root, its issuer or its time is gone', (t) => {
  const chain = below(lower, upper);
  for (const believed of [trustIn(stranger), trustIn(namesake), trusting({ 'cluster.local': [root] }, [WEB])]) {
    t.match(verifyPeer(chain, trust, NOW_MS, 'client'), { kind: 'accepted' });
    t.match(verifyPeer(chain, believed, NOW_MS, 'client'), { kind: 'refused' });
  }
  t.match(verifyPeer(chain, trust, NOW_MS + 2 * 3_600_000, 'client'), { code: 'certificate_expired' });
  // the intermediates are known by now; a leaf that was not signed by them is not let in by that
  const forged = makeLeaf({ ...lower, pair: ecPair() });
  const verdict = verifyPeer([forged, ...chain.slice(1)], trust, NOW_MS, 'client');
  t.match(verdict, { code: 'certificate_signature_invalid' });
  t.end();
});
