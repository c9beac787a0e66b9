import { MAX_CERTIFICATE_BYTES } from '#policy/x509/read-certificate.ts';
import {
  ALGORITHM,
  CLIENT_AUTH,
  ecPair,
  ext,
  extension,
  integer,
  NULL,
  octets,
  SERVER_AUTH,
  spki,
  time,
  uri,
} from './build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, NOW_MS, trusting, WEB } from './mesh-certificates.ts';
import { below, constrainedBy, leafWith, name, type Rows, root, trustIn } from './refused-row.ts';

const DAY_MS = 86_400_000;

export const USAGES: Rows = {
  'a leaf whose key may not sign': {
    chain: leafWith(ext.keyEncipherment(), name),
    code: 'wrong_key_usage',
    reason: /digitalSignature/,
  },
  'a leaf whose key may sign certificates': {
    chain: leafWith(ext.signing(), name),
    code: 'wrong_key_usage',
    reason: /may sign certificates/,
  },
  'an issuer whose key may not sign certificates': {
    chain: below(makeIssuer(root, 'Mute', { extensions: [ext.authority(), ext.digitalSignature()] })),
    code: 'wrong_key_usage',
    reason: /"CN=Mute".*keyCertSign/,
  },
  'extended usages of another kind': {
    chain: leafWith(ext.usages('1.3.6.1.5.5.7.3.3'), name),
    code: 'wrong_extended_key_usage',
    reason: /1\.3\.6\.1\.5\.5\.7\.3\.3/,
  },
  'any extended usage, of a leaf': {
    chain: leafWith(ext.usages('2.5.29.37.0'), name),
    code: 'wrong_extended_key_usage',
    reason: /2\.5\.29\.37\.0/,
  },
  'a server as a client': {
    chain: leafWith(ext.usages(SERVER_AUTH), name),
    uses: ['client'],
    code: 'wrong_extended_key_usage',
    reason: /no clientAuth/,
  },
  'a client as a server': {
    chain: leafWith(ext.usages(CLIENT_AUTH), name),
    uses: ['server'],
    code: 'wrong_extended_key_usage',
    reason: /no serverAuth/,
  },
  'an issuer for other usages': {
    chain: below(
      makeIssuer(root, 'Mail', { extensions: [ext.authority(), ext.signing(), ext.usages('1.3.6.1.5.5.7.3.4')] }),
    ),
    code: 'wrong_extended_key_usage',
    reason: /"CN=Mail"/,
  },
  'an issuer for another trust domain': {
    chain: constrainedBy([uri('other.example')]),
    code: 'name_constraint_violated',
    reason: /uri name "spiffe:.*not among those that are permitted, says issuer "CN=Bounded"/,
  },
  'an issuer that excludes the trust domain': {
    chain: constrainedBy([], [uri('cluster.local')]),
    code: 'name_constraint_violated',
    reason: /excluded/,
  },
  'an unknown critical extension of a leaf': {
    chain: [makeLeaf(root, { extensions: [...leafExtensions(), extension('1.2.3.4', true, NULL)] })],
    code: 'unknown_critical_extension',
    reason: /the leaf.*1\.2\.3\.4/,
  },
  'an unknown critical extension of an issuer': {
    chain: below(
      makeIssuer(root, 'New', { extensions: [ext.authority(), ext.signing(), extension('1.2.3.4', true, NULL)] }),
    ),
    code: 'unknown_critical_extension',
    reason: /"CN=New".*1\.2\.3\.4/,
  },
};

const long = makeRoot('Long', ecPair(), ALGORITHM.ecdsaSha256, { notAfter: time(NOW_MS + 50 * DAY_MS) });
const lasting = makeIssuer(long, 'Short', {});
export const TIMES: Rows = {
  'a leaf that has ended': {
    chain: [makeLeaf(root)],
    nowMs: NOW_MS + 3_600_001,
    code: 'certificate_expired',
    reason:
      /the leaf.*valid from 2026-06-15T11:00:00.000Z to 2026-06-15T13:00:00.000Z; clock here 2026-06-15T13:00:00.001Z/,
  },
  'a leaf that has not begun': {
    chain: [makeLeaf(root)],
    nowMs: NOW_MS - 3_600_001,
    code: 'certificate_not_yet_valid',
    reason: /the leaf.*clock here 2026-06-15T10:59:59.999Z/,
  },
  'an issuer that has ended': {
    chain: [makeLeaf(lasting, { notAfter: time(NOW_MS + 9 * DAY_MS) }), lasting.certificate],
    trust: trustIn(long),
    nowMs: NOW_MS + DAY_MS,
    code: 'certificate_expired',
    reason: /issuer "CN=Short"/,
  },
  'a root that has ended': {
    chain: [makeLeaf(root, { notAfter: time(NOW_MS + 9 * DAY_MS) })],
    nowMs: NOW_MS + DAY_MS,
    code: 'certificate_expired',
    reason: /the root "CN=Root"/,
  },
  'a root that has not begun': {
    chain: [makeLeaf(root, { notBefore: time(NOW_MS - 9 * DAY_MS) })],
    nowMs: NOW_MS - DAY_MS,
    code: 'certificate_not_yet_valid',
    reason: /the root/,
  },
};

const serial = integer(Buffer.from('0a0b0c', 'hex'));
const revokedIssuer = makeIssuer(root, 'Stolen', { serial });
export const REVOKED: Rows = {
  'a revoked identity': {
    chain: [makeLeaf(root)],
    trust: trusting({ 'cluster.local': [root] }, [WEB]),
    code: 'certificate_revoked',
    reason: /the leaf.*revoked in this test/,
  },
  'a revoked serial': {
    chain: [makeLeaf(root, { serial })],
    trust: trusting({ 'cluster.local': [root] }, ['0a0b0c']),
    code: 'certificate_revoked',
    reason: /0a0b0c.*revoked in this test/,
  },
  'a revoked issuer': {
    chain: below(revokedIssuer),
    trust: trusting({ 'cluster.local': [root] }, ['0a0b0c']),
    code: 'certificate_revoked',
    reason: /"CN=Stolen"/,
  },
};

export const MALFORMED: Rows = {
  'a certificate with something behind it': {
    chain: [Buffer.concat([makeLeaf(root), Buffer.of(0)])],
    code: 'malformed_certificate',
    reason: /certificate 1 of the chain/,
  },
  'an issuer that is none': {
    chain: [makeLeaf(root), Buffer.from('rubbish')],
    code: 'malformed_certificate',
    reason: /certificate 2 of the chain/,
  },
  'an empty certificate': { chain: [Buffer.alloc(0)], code: 'malformed_certificate', reason: /cut short/ },
  'a certificate beyond the limit': {
    chain: [
      makeLeaf(root, {
        extensions: [...leafExtensions(), extension('1.2.3.4', false, octets(Buffer.alloc(MAX_CERTIFICATE_BYTES)))],
      }),
    ],
    code: 'malformed_certificate',
    reason: /exceed the limit of 16384/,
  },
  'an issuer whose key is off its curve': (() => {
    const info = spki(ecPair());
    info.fill(7, info.length - 32);
    return {
      chain: below(makeIssuer(root, 'Off', { subjectPublicKeyInfo: info })),
      code: 'malformed_certificate',
      reason: /public key/,
    };
  })(),
};
