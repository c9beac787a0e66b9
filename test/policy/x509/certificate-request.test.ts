import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { createCertificateRequest, MAX_CSR_BYTES, readCertificateRequest } from '#policy/x509/certificate-request.ts';

const ecKey = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });

t.test('a request of P-256 or P-384 gives back its public key', (t) => {
  for (const curve of ['P-256', 'P-384']) {
    const { publicKey, privateKey } = ecKey(curve);
    const result = readCertificateRequest(createCertificateRequest(publicKey, privateKey));
    const expected = publicKey.export({ type: 'spki', format: 'der' });
    t.ok(result.kind === 'valid' && result.subjectPublicKeyInfo.equals(expected), curve);
  }
  t.end();
});

t.test('openssl accepts our request, and we accept one of openssl with attributes', (t) => {
  const directory = t.testdir();
  const { publicKey, privateKey } = ecKey('P-256');
  writeFileSync(join(directory, 'ours.der'), createCertificateRequest(publicKey, privateKey));
  execFileSync('openssl', ['req', '-inform', 'DER', '-in', 'ours.der', '-verify', '-noout'], {
    cwd: directory,
    stdio: 'pipe',
  });
  const options = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    'k.pem',
    '-outform',
    'DER',
  ];
  const names = ['-subj', '/CN=web', '-addext', 'subjectAltName=URI:spiffe://cluster.local/ns/a/sa/b'];
  execFileSync('openssl', ['req', '-new', ...options, ...names, '-out', 'theirs.der'], {
    cwd: directory,
    stdio: 'pipe',
  });
  const theirs = execFileSync('cat', [join(directory, 'theirs.der')]);
  t.match(readCertificateRequest(theirs), { kind: 'valid' });
  t.end();
});

t.test('a request that was changed after it was signed is refused', (t) => {
  const { publicKey, privateKey } = ecKey('P-256');
  const other = ecKey('P-256');
  const csr = createCertificateRequest(publicKey, privateKey);
  const theirKey = other.publicKey.export({ type: 'spki', format: 'der' });
  const swapped = Buffer.from(csr);
  const ourKey = publicKey.export({ type: 'spki', format: 'der' });
  theirKey.copy(swapped, csr.indexOf(ourKey));
  t.match(readCertificateRequest(swapped), { kind: 'invalid', reason: /signature does not verify/ });
  t.match(readCertificateRequest(createCertificateRequest(publicKey, other.privateKey)), {
    kind: 'invalid',
    reason: /signature does not verify/,
  });
  t.end();
});

/** A request that openssl made and signed, DER. */
function opensslRequest(t: Test, key: readonly string[], names: readonly string[] = [], convert?: readonly string[]) {
  const directory = t.testdir();
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  openssl(...key, '-out', 'k.pem');
  if (convert !== undefined) openssl('ec', '-in', 'k.pem', ...convert, '-out', 'k.pem');
  openssl('req', '-new', '-key', 'k.pem', '-subj', '/CN=web', ...names, '-outform', 'DER', '-out', 'r.der');
  return readFileSync(join(directory, 'r.der'));
}

const P256 = ['ecparam', '-name', 'prime256v1', '-genkey', '-noout'];

t.test('the URIs that a request asks for are told, and nothing else of it', (t) => {
  const uri = 'spiffe://cluster.local/ns/a/sa/b';
  const names = [
    '-addext',
    `subjectAltName=DNS:web,URI:${uri},email:a@b.c,URI:urn:x`,
    '-addext',
    'basicConstraints=CA:TRUE',
  ];
  t.match(readCertificateRequest(opensslRequest(t, P256, names)), { kind: 'valid', requestedUris: [uri, 'urn:x'] });
  const { publicKey, privateKey } = ecKey('P-256');
  t.strictSame(readCertificateRequest(createCertificateRequest(publicKey, privateKey)), {
    kind: 'valid',
    subjectPublicKeyInfo: publicKey.export({ type: 'spki', format: 'der' }),
    requestedUris: [],
  });
  t.end();
});

t.test('a key is named by its curve and uncompressed: explicit parameters and compressed points are refused', (t) => {
  const refused = { kind: 'invalid', code: 'csr_key_not_accepted' };
  t.match(readCertificateRequest(opensslRequest(t, P256)), { kind: 'valid' });
  t.match(readCertificateRequest(opensslRequest(t, [...P256, '-param_enc', 'explicit'])), refused);
  t.match(readCertificateRequest(opensslRequest(t, P256, [], ['-conv_form', 'compressed'])), refused);
  t.match(readCertificateRequest(opensslRequest(t, P256, [], ['-conv_form', 'hybrid'])), refused);
  t.match(readCertificateRequest(opensslRequest(t, ['ecparam', '-name', 'secp521r1', '-genkey', '-noout'])), refused);
  t.match(readCertificateRequest(opensslRequest(t, ['genpkey', '-algorithm', 'ed25519'])), refused);
  t.end();
});

t.test('a point that is not of its curve is refused', (t) => {
  const { publicKey, privateKey } = ecKey('P-256');
  const csr = createCertificateRequest(publicKey, privateKey);
  const at = csr.indexOf(publicKey.export({ type: 'spki', format: 'der' }).subarray(-64));
  csr.fill(0xff, at, at + 64);
  t.match(readCertificateRequest(csr), { kind: 'invalid', code: 'csr_key_not_accepted' });
  t.end();
});

t.test('a signature by SHA-1 proves nothing', (t) => {
  t.match(readCertificateRequest(opensslRequest(t, P256, ['-sha1'])), {
    kind: 'invalid',
    code: 'csr_signature_invalid',
  });
  t.end();
});

t.test('other keys, rubbish and oversized requests are refused', (t) => {
  const key = { kind: 'invalid', code: 'csr_key_not_accepted' };
  const malformed = (reason: RegExp) => ({ kind: 'invalid', code: 'csr_malformed', reason });
  const k1 = ecKey('secp256k1');
  t.match(readCertificateRequest(createCertificateRequest(k1.publicKey, k1.privateKey)), key);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  t.match(readCertificateRequest(createCertificateRequest(rsa.publicKey, rsa.privateKey)), key);
  t.match(readCertificateRequest(Buffer.from('rubbish')), malformed(/cannot be read/));
  t.match(readCertificateRequest(Buffer.alloc(0)), malformed(/cannot be read/));
  t.match(readCertificateRequest(Buffer.alloc(MAX_CSR_BYTES + 1)), malformed(/exceed the limit/));
  t.match(readCertificateRequest(Buffer.alloc(MAX_CSR_BYTES, 0x30)), malformed(/cannot be read/));
  const { publicKey, privateKey } = ecKey('P-256');
  const csr = createCertificateRequest(publicKey, privateKey);
  t.match(readCertificateRequest(Buffer.concat([csr, Buffer.of(0)])), malformed(/cannot be read/));
  t.end();
});

/** Whether it is refused with a reason, or gives the key that signed it: whatever else was made of it would be a hole. */
function isHarmless(candidate: Buffer, key: Buffer): boolean {
  const result = readCertificateRequest(candidate);
  return result.kind === 'valid' ? result.subjectPublicKeyInfo.equals(key) : result.reason !== '';
}

t.test('bent at any byte, cut short or grown, it never throws and is never good for another key', (t) => {
  const names = ['-addext', 'subjectAltName=URI:spiffe://cluster.local/ns/a/sa/b'];
  const { publicKey, privateKey } = ecKey('P-384');
  for (const csr of [opensslRequest(t, P256, names), createCertificateRequest(publicKey, privateKey)]) {
    const first = readCertificateRequest(csr);
    const key = first.kind === 'valid' ? first.subjectPublicKeyInfo : Buffer.alloc(0);
    t.ok(key.length > 0);
    let harmful = 0;
    for (let index = 0; index < csr.length; index++) {
      const old = csr[index] ?? 0;
      for (const value of [old ^ 0x01, old ^ 0x80, old ^ 0x20, 0x00, 0xff, 0x30, old + 1]) {
        const bent = Buffer.from(csr);
        bent[index] = value;
        if (!isHarmless(bent, key)) harmful++;
      }
      const without = Buffer.concat([csr.subarray(0, index), csr.subarray(index + 1)]);
      const twice = Buffer.concat([csr.subarray(0, index), csr.subarray(index, index + 1), csr.subarray(index)]);
      for (const candidate of [csr.subarray(0, index), without, twice]) if (!isHarmless(candidate, key)) harmful++;
    }
    t.equal(harmful, 0);
  }
  t.end();
});

t.test('parts of two requests put together are never good for a key that did not sign', (t) => {
  const pairs = [ecKey('P-256'), ecKey('P-256')];
  const [one = Buffer.alloc(0), other = Buffer.alloc(0)] = pairs.map(({ publicKey, privateKey }) =>
    createCertificateRequest(publicKey, privateKey),
  );
  const positions = fc.integer({ min: 0, max: Math.max(one.length, other.length) });
  fc.assert(
    fc.property(positions, positions, (cut, joint) => {
      const spliced = Buffer.concat([one.subarray(0, cut), other.subarray(joint)]);
      const result = readCertificateRequest(spliced);
      return result.kind === 'invalid' || spliced.equals(one) || spliced.equals(other);
    }),
    { numRuns: 3_000 },
  );
  t.end();
});
