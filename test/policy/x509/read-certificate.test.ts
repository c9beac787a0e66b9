import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { DerError } from '#policy/x509/der-reader.ts';
import { MAX_NAMES } from '#policy/x509/general-names.ts';
import { nameText } from '#policy/x509/name-text.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { readRoot } from '#policy/x509/root.ts';
import {
  ALGORITHM,
  bits,
  commonName,
  der,
  dns,
  ext,
  extension,
  FALSE,
  integer,
  NO_NAME,
  NULL,
  octets,
  oid,
  sequence,
  TRUE,
  time,
  uri,
} from './build-certificate.ts';
import { type Change, leafExtensions, makeIssuer, makeLeaf, makeRoot, WEB } from './mesh-certificates.ts';

const root = makeRoot();
const leaf = (change: Change) => makeLeaf(root, change);
const withExtension = (...more: readonly Buffer[]) => leaf({ extensions: [...leafExtensions(), ...more] });

t.test('what is read is what OpenSSL reads', (t) => {
  const identifier = Buffer.from('0102030405', 'hex');
  for (const bytes of [
    root.certificate,
    makeIssuer(root, 'Über').certificate,
    leaf({}),
    leaf({ serial: integer(Buffer.from('ff00', 'hex')) }),
    leaf({ serial: integer(Buffer.alloc(20, 0x7f)) }),
    leaf({ notBefore: time(Date.UTC(1950, 0, 1)), notAfter: time(Date.UTC(2049, 11, 31, 23, 59, 59)) }),
    leaf({ notAfter: time(Date.UTC(2050, 0, 1)) }),
    leaf({ notAfter: time(Date.UTC(9999, 11, 31, 23, 59, 59)) }),
    leaf({ notAfter: time(Date.UTC(2028, 1, 29)) }),
    leaf({ subject: commonName('web'), extensions: [ext.names(uri(WEB), dns('web')), ext.keyIdentifier(identifier)] }),
  ]) {
    const ours = readCertificate(bytes);
    const theirs = new X509Certificate(bytes);
    t.equal(ours.serial, theirs.serialNumber.toLowerCase());
    t.equal(ours.notBeforeMs, theirs.validFromDate.getTime());
    t.equal(ours.notAfterMs, theirs.validToDate.getTime());
    t.equal(ours.extensions.isAuthority, theirs.ca);
    t.same(ours.subjectPublicKeyInfo, theirs.publicKey.export({ type: 'spki', format: 'der' }));
    const names = ours.extensions.names.map(({ form, value }) => `${form.toUpperCase()}:${value}`);
    t.equal(names.join(', '), theirs.subjectAltName ?? '');
  }
  t.end();
});

t.test('extensions are read', (t) => {
  const { extensions } = readCertificate(
    leaf({
      extensions: [
        ext.authority(3),
        extension('2.5.29.15', false, bits(7, 0x06, 0x80)),
        ext.usages('1.2.3', '1.2.4'),
        ext.keyIdentifier(Buffer.of(1)),
        extension('2.5.29.35', false, sequence(der(0x80, Buffer.of(2)), der(0xa1, NO_NAME), der(0x82, Buffer.of(3)))),
        ext.constraints([uri('.a'), dns('')], [uri('b.c')]),
        extension('1.2.3.4', false, Buffer.from('anything')),
      ],
    }),
  );
  t.match(extensions, { isAuthority: true, pathLength: 3, keyUsage: 6, extendedKeyUsage: ['1.2.3', '1.2.4'] });
  t.match(extensions, { subjectKeyIdentifier: Buffer.of(1), authorityKeyIdentifier: Buffer.of(2) });
  t.match(extensions.nameConstraints, {
    permitted: [{ form: 'uri', value: Buffer.from('.a') }, { form: 'dns' }],
    excluded: [{ form: 'uri', value: Buffer.from('b.c') }],
  });
  t.equal(extensions.unknownCritical, undefined);
  t.equal(readCertificate(withExtension(extension('1.2.3.4', true, NULL))).extensions.unknownCritical, '1.2.3.4');
  t.end();
});

const raw = (tag: number, text: string) => der(tag, Buffer.from(text));
const rdn = (...parts: readonly Buffer[]) => sequence(der(0x31, sequence(...parts)));
/** Each breaks one rule of RFC 5280 or X.690. */
const MALFORMED: { readonly [what: string]: readonly [Buffer, RegExp] } = {
  'version 1': [leaf({ version: Buffer.alloc(0) }), /version: not 3/],
  'version 2': [leaf({ version: der(0xa0, integer(1)) }), /version: not 3/],
  'a negative serial': [leaf({ serial: der(2, Buffer.of(0x80)) }), /serial number: negative/],
  'a serial of 21 bytes': [leaf({ serial: integer(Buffer.alloc(21, 0x7f)) }), /longer than 20/],
  'a padded serial': [leaf({ serial: der(2, Buffer.of(0, 1)) }), /INTEGER/],
  'another algorithm beside the signature': [
    leaf({ outerAlgorithm: ALGORITHM.ecdsaSha384.identifier }),
    /not the same at both places/,
  ],
  'a NULL with a content': [
    leaf({ algorithm: { hash: 'sha256', identifier: sequence(oid('1.2.840.10045.4.3.2'), der(5, Buffer.of(0))) } }),
    /NULL with a content/,
  ],
  'an issuer without a name': [leaf({ issuer: NO_NAME }), /issuer: empty/],
  'an issuer that is no name': [leaf({ issuer: sequence(NULL) }), /issuer: tag/],
  'an empty part of a name': [leaf({ subject: sequence(der(0x31)) }), /subject: an empty set/],
  'a name of a bad type': [leaf({ issuer: rdn(der(6, Buffer.of(0x80)), der(12)) }), /issuer: not an object identifier/],
  'a name that is no text': [leaf({ issuer: rdn(oid('2.5.4.3'), NULL) }), /issuer: not of text/],
  'a name of broken UTF-8': [leaf({ issuer: rdn(oid('2.5.4.3'), der(12, Buffer.of(0xc0))) }), /issuer: not of text/],
  'a time with a zone': [leaf({ notAfter: raw(0x17, '260615120000+0100') }), /notAfter: not of the form/],
  'a time without seconds': [leaf({ notAfter: raw(0x17, '2606151200Z') }), /notAfter: not of the form/],
  'a time without Z': [leaf({ notAfter: raw(0x17, '2606151200000') }), /notAfter: not of the form/],
  'a time with fractions': [leaf({ notAfter: raw(0x18, '20600615120000.5Z') }), /notAfter: not of the form/],
  'a time of letters': [leaf({ notAfter: raw(0x17, '26061512000oZ') }), /notAfter: not of the form/],
  '30 February': [leaf({ notAfter: raw(0x17, '260230120000Z') }), /notAfter: no such time/],
  'month 0': [leaf({ notAfter: raw(0x17, '260015120000Z') }), /notAfter: no such time/],
  'hour 24': [leaf({ notAfter: raw(0x17, '260615240000Z') }), /notAfter: no such time/],
  'a leap second': [leaf({ notAfter: raw(0x17, '260630235960Z') }), /notAfter: no such time/],
  'GeneralizedTime before 2050': [leaf({ notAfter: raw(0x18, '20490615120000Z') }), /GeneralizedTime of the year 2049/],
  'an extension twice': [withExtension(ext.noAuthority()), /2\.5\.29\.19: there twice/],
  'an empty list of extensions': [leaf({ extensions: [] }), /extensions: an empty list/],
  'a FALSE that is stated': [
    withExtension(sequence(oid('1.2.3'), FALSE, octets(NULL))),
    /critical: the default is stated/,
  ],
  'a BOOLEAN of 1': [
    withExtension(sequence(oid('1.2.3'), der(1, Buffer.of(1)), octets(NULL))),
    /critical: not a canonical BOOLEAN/,
  ],
  'something behind an extension': [withExtension(sequence(oid('1.2.3'), octets(NULL), NULL)), /something follows/],
  'an empty SAN': [leaf({ extensions: [ext.names()] }), /no names/],
  'a name of an unknown form': [leaf({ extensions: [ext.names(der(0x89))] }), /unknown form/],
  'too many names': [
    leaf({ extensions: [ext.names(...Array.from({ length: MAX_NAMES + 1 }, () => dns('a')))] }),
    /more than 128 names/,
  ],
  'too many extensions': [
    withExtension(...Array.from({ length: 50 }, (_, index) => extension(`1.2.3.${index}`, false, NULL))),
    /more than 48 extensions/,
  ],
  'something behind a SAN': [
    leaf({ extensions: [extension('2.5.29.17', true, Buffer.concat([sequence(uri(WEB)), NULL]))] }),
    /2\.5\.29\.17: something follows/,
  ],
  'cA FALSE that is stated': [leaf({ extensions: [extension('2.5.29.19', true, sequence(FALSE))] }), /cA: the default/],
  'a path length of no authority': [
    leaf({ extensions: [extension('2.5.29.19', true, sequence(integer(0)))] }),
    /not of an authority/,
  ],
  'a negative path length': [
    leaf({ extensions: [extension('2.5.29.19', true, sequence(TRUE, der(2, Buffer.of(0xff))))] }),
    /negative/,
  ],
  'key usages with zeros behind': [leaf({ extensions: [extension('2.5.29.15', true, bits(0, 0x80))] }), /key usage/],
  'no key usages': [leaf({ extensions: [extension('2.5.29.15', true, bits(0))] }), /key usage: not canonical/],
  'no extended usages': [leaf({ extensions: [ext.usages()] }), /extended key usage: an empty list/],
  'empty constraints': [leaf({ extensions: [ext.constraints([])] }), /name constraints: empty/],
  'a constraint that can match nothing': [
    leaf({ extensions: [ext.constraints([], [uri('spiffe://other.example')])] }),
    /a uri constraint that is none/,
  ],
  'a constraint with a minimum': [
    leaf({
      extensions: [extension('2.5.29.30', true, sequence(der(0xa0, sequence(uri('a'), der(0x80, Buffer.of(1))))))],
    }),
    /minimum or maximum/,
  ],
};

t.test('what is not to the letter is refused, by the rule', (t) => {
  for (const [what, [bytes, complaint]] of Object.entries(MALFORMED)) {
    try {
      readCertificate(bytes);
      t.fail(`${what} was read`);
    } catch (error) {
      t.ok(error instanceof DerError, what);
      t.match(error, { message: complaint }, what);
    }
  }
  t.end();
});

t.test('a serial of 0 is borne', async (t) => {
  t.equal(readCertificate(leaf({ serial: integer(0) })).serial, '00');
});

t.test('a root is an authority with a name', async (t) => {
  t.throws(() => readRoot(leaf({})), /not an authority/);
  t.throws(() => readRoot(makeIssuer(root, '', { subject: NO_NAME }).certificate), /names no subject/);
  t.throws(() => readRoot(Buffer.from('rubbish')), DerError);
  t.same(readRoot(root.certificate).subject, commonName('Root'));
});

t.test('the text of a name is one printable line, and not longer than its bound', async (t) => {
  t.equal(nameText(commonName('a\nb\0')), 'CN=a?b?');
  t.equal(nameText(commonName('x'.repeat(1_000))).length, 161);
  t.equal(nameText(NO_NAME), '');
});
