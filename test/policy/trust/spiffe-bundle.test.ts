import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { MAX_BUNDLE_BYTES, readSpiffeBundle, spiffeBundleText } from '#policy/trust/spiffe-bundle.ts';
import { issueRoot, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority } from '../../support/certificates.ts';

const partner = new TestAuthority('partner.example');
const [root = Buffer.of()] = certificatesFromPem(partner.rootPem);
const other = new TestAuthority('partner.example');
const leaf = partner.leaf('spiffe://partner.example/ns/shop/sa/web');
const [leafDer = Buffer.of()] = certificatesFromPem(leaf.cert);

const base64 = (der: Buffer) => der.toString('base64');
const jwkOf = (der: Buffer) => new X509Certificate(der).publicKey.export({ format: 'jwk' });
const keyOf = (der: Buffer) => ({ ...jwkOf(der), use: 'x509-svid', x5c: [base64(der)] });
/** A good bundle that ends with this text in place of its last brace. */
const withText = (end: string) => jwkSet([keyOf(root)]).replace(/}$/, end);
const jwkSet = (keys: readonly unknown[], more: object = {}) => JSON.stringify({ keys, ...more });

t.test('reads a bundle as SPIFFE writes it', async (t) => {
  const bundle = readSpiffeBundle(jwkSet([keyOf(root)], { spiffe_sequence: 7, spiffe_refresh_hint: 600 }));
  t.strictSame(bundle, { roots: [root], sequence: 7n, refreshHintS: 600 });
});

t.test('sequence and hint may be left out, and further members are passed over', async (t) => {
  t.strictSame(readSpiffeBundle(jwkSet([{ ...keyOf(root), kid: 'a' }], { more: [1] })), {
    roots: [root],
    sequence: undefined,
    refreshHintS: undefined,
  });
});

t.test('a sequence keeps all of its 64 bits', async (t) => {
  t.equal(readSpiffeBundle(withText(',"spiffe_sequence":9007199254740993}')).sequence, 9007199254740993n);
  const many = withText(',"spiffe_sequence" : 9007199254740993 , "spiffe_refresh_hint":300}');
  t.strictSame(readSpiffeBundle(many), { roots: [root], sequence: 9007199254740993n, refreshHintS: 300 });
});

t.test('keys of other uses and types are passed over', async (t) => {
  const keys = [
    { ...jwkOf(root), use: 'jwt-svid', kid: 'x' },
    { ...jwkOf(root), use: 'wit-svid' },
    { kty: 'AKP', use: 'x509-svid', x5c: ['of a kind to come'] },
    keyOf(root),
  ];
  t.strictSame(readSpiffeBundle(jwkSet(keys)).roots, [root]);
});

t.test('a root that is there twice counts once', async (t) => {
  t.strictSame(readSpiffeBundle(jwkSet([keyOf(root), keyOf(root)])).roots, [root]);
  t.strictSame(readSpiffeBundle(`${partner.rootPem}${partner.rootPem}`).roots, [root]);
});

t.test('takes certificates in PEM, with text around them', async (t) => {
  const text = `# partner\n${partner.rootPem}\n${other.rootPem}`;
  t.strictSame(readSpiffeBundle(text), {
    roots: [root, ...certificatesFromPem(other.rootPem)],
    sequence: undefined,
    refreshHintS: undefined,
  });
});

const good = keyOf(root);
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const privatePem = String(privateKey.export({ format: 'pem', type: 'pkcs8' }));
const withoutX5c = { ...jwkOf(root), use: 'x509-svid' };
const malformed: readonly (readonly [string, string, RegExp])[] = [
  ['nothing', '', /neither a SPIFFE bundle/],
  ['a page of a login form', '<html>', /neither a SPIFFE bundle/],
  ['JSON that ends too early', '{"keys": [', /^not JSON: .*(position|line|end)/],
  ['a list', '[{}]', /neither a SPIFFE bundle/],
  ['no keys', '{"key": []}', /^keys: missing/],
  ['keys that are no list', '{"keys": {}}', /^keys: missing, or not a list/],
  ['no key of the use', jwkSet([{ ...jwkOf(root), use: 'jwt-svid' }]), /^keys: none has the use x509-svid/],
  ['an empty list of keys', jwkSet([]), /^keys: none has the use x509-svid/],
  ['too many keys', jwkSet(Array(1001).fill({})), /^keys: 1001 entries exceed the limit of 1000/],
  ['a key that is no object', jwkSet([good, 1]), /^keys\[1\]: expected an object/],
  ['a key without a type', jwkSet([{ ...good, kty: undefined }]), /^keys\[0\]\.kty/],
  ['a key without a use', jwkSet([{ ...good, use: undefined }]), /^keys\[0\]\.use/],
  ['no certificate', jwkSet([withoutX5c]), /^keys\[0\]\.x5c: expected a list of one certificate/],
  ['a chain', jwkSet([{ ...good, x5c: [base64(root), base64(root)] }]), /^keys\[0\]\.x5c: expected a list of one/],
  ['base64url', jwkSet([{ ...good, x5c: ['-_-_'] }]), /^keys\[0\]\.x5c\[0\]: not base64/],
  [
    'base64 of something else',
    jwkSet([{ ...good, x5c: ['AAAA'] }]),
    /^keys\[0\]\.x5c\[0\]: certificate: tag 0x00 in place of 0x30 \(at byte 0\)/,
  ],
  [
    'PEM in base64',
    jwkSet([{ ...good, x5c: [base64(Buffer.from(partner.rootPem))] }]),
    /^keys\[0\]\.x5c\[0\]: certificate: tag 0x2d/,
  ],
  [
    'bytes behind the DER',
    jwkSet([{ ...good, x5c: [base64(Buffer.concat([root, root]))] }]),
    /^keys\[0\]\.x5c\[0\]: .*at byte \d+/,
  ],
  ['a leaf', jwkSet([keyOf(leafDer)]), /^keys\[0\]\.x5c\[0\]: the certificate is not an authority/],
  ['the key of another', jwkSet([{ ...keyOf(root), x: jwkOf(leafDer).x }]), /^keys\[0\]: its key is not that/],
  ['half of a key', jwkSet([{ ...keyOf(root), y: undefined }]), /^keys\[0\]: its key is not that/],
  ['a sequence below zero', jwkSet([good], { spiffe_sequence: -1 }), /^spiffe_sequence: expected a whole number/],
  ['a sequence with a fraction', jwkSet([good], { spiffe_sequence: 1.5 }), /^spiffe_sequence/],
  ['a sequence in words', jwkSet([good], { spiffe_sequence: '1' }), /^spiffe_sequence/],
  ['a sequence of 20 digits', '{"keys":[],"spiffe_sequence":10000000000000000000}', /^keys: none|^spiffe_sequence/],
  ['a hint below zero', jwkSet([good], { spiffe_refresh_hint: -1 }), /^spiffe_refresh_hint/],
  ['more than is read', `{${' '.repeat(MAX_BUNDLE_BYTES)}}`, /exceeds the limit of 131072/],
  [
    'a sequence of 64 bits that is there twice',
    withText(',"spiffe_sequence":9007199254740993,"spiffe_sequence":9007199254740995}'),
    /^spiffe_sequence/,
  ],
  ['a sequence with an exponent that no number holds', withText(',"spiffe_sequence":1e18}'), /^spiffe_sequence/],
  ['PEM without an end', '-----BEGIN CERTIFICATE-----\nAAAA\n', /has no end/],
  ['a private key', `${partner.rootPem}${privatePem}`, /^PEM block 2: expected CERTIFICATE, got PRIVATE KEY/],
  ['a leaf in PEM', leaf.cert, /^PEM block 1: the certificate is not an authority/],
  ['PEM that is not base64', '-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n', /^PEM block 1: not base64/],
];

t.test('refuses what is malformed, and names the field', async (t) => {
  for (const [name, text, reason] of malformed) t.throws(() => readSpiffeBundle(text), { message: reason }, name);
});

t.test('refuses more roots than all sidecars can be made to hold', async (t) => {
  const many = Array.from({ length: 100 }, () => new TestAuthority('partner.example').rootPem).join('');
  t.throws(() => readSpiffeBundle(many), { message: /^PEM block \d+: the roots up to here exceed the limit of 32768/ });
});

t.test('reads no more roots than are taken: what comes behind is not even looked at', async (t) => {
  const many = Array.from({ length: 70 }, () =>
    keyOf(certificatesFromPem(new TestAuthority('partner.example').rootPem)[0] ?? root),
  );
  const fault = { ...good, x5c: ['AAAA'] };
  t.throws(() => readSpiffeBundle(jwkSet([...many, fault])), {
    message: /^keys\[\d+\]\.x5c\[0\]: the roots up to here exceed/,
  });
  t.throws(
    () => readSpiffeBundle(jwkSet(Array(70).fill(good))),
    { message: /the roots up to here exceed/ },
    'one is read as often',
  );
});

t.test('whatever a byte is changed to: an error in words, or a bundle of authorities', async (t) => {
  const text = jwkSet([good], { spiffe_sequence: 1 });
  t.pass('the property below throws where it does not hold');
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3, unit: 'binary' }), (at, replacement) => {
      try {
        const { roots } = readSpiffeBundle(text.slice(0, at) + replacement + text.slice(at + 1));
        return roots.every((der) => new X509Certificate(der).ca);
      } catch (error) {
        return error instanceof Error && !(error instanceof TypeError) && !(error instanceof RangeError);
      }
    }),
    { numRuns: 2_000 },
  );
});

t.test('writes what it reads, for roots of RSA too', async (t) => {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ofRsa = issueRoot(
    {
      commonName: 'rsa',
      trustDomain: 'partner.example',
      pathLength: 0,
      subjectPublicKeyInfo: keys.publicKey.export({ type: 'spki', format: 'der' }),
      nowMs: Date.now(),
      lifetimeMs: 60_000,
      serial: randomBytes(SERIAL_BYTES),
    },
    keys.privateKey,
  );
  const text = spiffeBundleText([root, ofRsa], 1_700_000_000, 300);
  t.strictSame(readSpiffeBundle(text), { roots: [root, ofRsa], sequence: 1_700_000_000n, refreshHintS: 300 });
  t.match(JSON.parse(text), {
    keys: [
      { use: 'x509-svid', kty: 'EC', crv: 'P-256', x: jwkOf(root).x },
      { use: 'x509-svid', kty: 'RSA', e: 'AQAB' },
    ],
  });
});
