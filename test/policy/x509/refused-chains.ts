import { MAX_CHAIN_LENGTH } from '#policy/x509/verify-peer.ts';
import { ALGORITHM, commonName, ecPair, ext, rsaPair, spki } from './build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, trusting } from './mesh-certificates.ts';
import { below, federated, leafOf, namesake, type Rows, root, stranger, trustIn } from './refused-row.ts';

const other = trusting({ 'cluster.local': [root], 'partner.example': [federated] });
const workerPair = ecPair();
const worker = {
  ...root,
  pair: workerPair,
  name: commonName('Worker'),
  certificate: makeLeaf(root, { subject: commonName('Worker'), subjectPublicKeyInfo: spki(workerPair) }),
};

/** Chains: whose word counts. */
export const CHAINS: Rows = {
  'no certificate at all': { chain: [], code: 'no_client_certificate', reason: /no certificate/ },
  'an unknown issuer': { chain: [makeLeaf(stranger)], code: 'untrusted_issuer', reason: /issuer "CN=Stranger"/ },
  'an unknown issuer that was sent along': {
    chain: below(stranger),
    code: 'untrusted_issuer',
    reason: /"CN=Stranger"/,
  },
  'an issuer that was not sent along': {
    chain: [makeLeaf(makeIssuer(root))],
    code: 'untrusted_issuer',
    reason: /"CN=Issuing"/,
  },
  'a leaf issued by itself': {
    chain: [makeLeaf({ ...root, name: commonName('Me') }, { subject: commonName('Me') })],
    code: 'untrusted_issuer',
    reason: /"CN=Me"/,
  },
  'no root of the trust domain': {
    chain: [makeLeaf(root)],
    trust: trustIn(),
    code: 'untrusted_issuer',
    reason: /CN=Root/,
  },
  'a federated root for an identity of ours': {
    chain: [makeLeaf(federated)],
    trust: other,
    code: 'untrusted_issuer',
    reason: /Federated/,
  },
  'a root of ours for an identity of a federated domain': {
    chain: leafOf('spiffe://partner.example/ns/shop/sa/web'),
    trust: other,
    code: 'untrusted_issuer',
    reason: /CN=Root/,
  },
  'an issuer of the same name with another key': {
    chain: [makeLeaf(namesake)],
    code: 'certificate_signature_invalid',
    reason: /not signed by the key of "CN=Root"/,
  },
  'a namesake, by the key identifiers': {
    chain: [makeLeaf(namesake, { extensions: [...leafExtensions(), ext.issuerKeyIdentifier(Buffer.of(1, 2))] })],
    trust: trustIn(
      makeRoot('Root', ecPair(), ALGORITHM.ecdsaSha256, {
        extensions: [ext.authority(), ext.keyIdentifier(Buffer.of(3, 4))],
      }),
    ),
    code: 'untrusted_issuer',
    reason: /CN=Root/,
  },
  'an issuer that is no authority': {
    chain: below(worker),
    code: 'untrusted_issuer',
    reason: /"CN=Worker".*is no authority/,
  },
  'an issuer without basic constraints': {
    chain: below(makeIssuer(root, 'Bare', { extensions: [ext.signing()] })),
    code: 'untrusted_issuer',
    reason: /"CN=Bare".*is no authority/,
  },
  'more authorities than the issuer allows': {
    chain: (() => {
      const upper = makeIssuer(root, 'Upper', { extensions: [ext.authority(0), ext.signing()] });
      return below(makeIssuer(upper, 'Lower'), upper);
    })(),
    code: 'path_length_exceeded',
    reason: /1 authorities below issuer "CN=Upper".*is 0/,
  },
  'more authorities than the root allows': (() => {
    const short = makeRoot('Short', ecPair(), ALGORITHM.ecdsaSha256, { extensions: [ext.authority(0), ext.signing()] });
    return {
      chain: below(makeIssuer(short)),
      trust: trustIn(short),
      code: 'path_length_exceeded',
      reason: /root "CN=Short"/,
    };
  })(),
  'more certificates than the limit': {
    chain: Array.from({ length: MAX_CHAIN_LENGTH + 1 }, () => root.certificate),
    code: 'certificate_chain_too_long',
    reason: /11 certificates exceeds the limit of 10/,
  },
};

/** Strength of keys and signatures. */
const smallRoot = makeRoot('Small', rsaPair(1024), ALGORITHM.rsaSha256);
export const rsaRoot = makeRoot('RSA', rsaPair(2048), ALGORITHM.rsaSha256);
const oddRoot = makeRoot('Odd', ecPair('secp256k1'));
export const WEAK: Rows = {
  'a leaf of RSA-1024': {
    chain: [makeLeaf(root, { subjectPublicKeyInfo: spki(rsaPair(1024)) })],
    code: 'weak_signature',
    reason: /the leaf .*1024 bits; the least is 2048/,
  },
  'an issuer of RSA-1024': {
    chain: [makeLeaf(smallRoot)],
    trust: trustIn(smallRoot),
    code: 'weak_signature',
    reason: /of its issuer.*1024 bits/,
  },
  'ECDSA with SHA-1': {
    chain: [makeLeaf(root, { algorithm: ALGORITHM.ecdsaSha1 })],
    code: 'weak_signature',
    reason: /ECDSA with SHA-1/,
  },
  'RSA with SHA-1': {
    chain: [makeLeaf(rsaRoot, { algorithm: ALGORITHM.rsaSha1 })],
    trust: trustIn(rsaRoot),
    code: 'weak_signature',
    reason: /RSA with SHA-1/,
  },
  'RSA with MD5': {
    chain: [makeLeaf(rsaRoot, { algorithm: ALGORITHM.rsaMd5 })],
    trust: trustIn(rsaRoot),
    code: 'weak_signature',
    reason: /RSA with MD5/,
  },
  'an intermediate signed with SHA-1': {
    chain: below(makeIssuer(root, 'Old', { algorithm: ALGORITHM.ecdsaSha1 })),
    code: 'weak_signature',
    reason: /"CN=Old".*SHA-1/,
  },
  'a leaf of secp256k1': {
    chain: [makeLeaf(root, { subjectPublicKeyInfo: spki(ecPair('secp256k1')) })],
    code: 'weak_signature',
    reason: /curve/,
  },
  'an issuer of secp256k1': {
    chain: [makeLeaf(oddRoot)],
    trust: trustIn(oddRoot),
    code: 'weak_signature',
    reason: /curve/,
  },
  'a leaf of P-521': {
    chain: [makeLeaf(root, { subjectPublicKeyInfo: spki(ecPair('P-521')) })],
    code: 'weak_signature',
    reason: /P-521/,
  },
  'an algorithm of RSA under an elliptic key': {
    chain: [makeLeaf(root, { algorithm: { hash: 'sha256', identifier: ALGORITHM.rsaSha256.identifier } })],
    code: 'certificate_signature_invalid',
    reason: /not signed by the key/,
  },
};
