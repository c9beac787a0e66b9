import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
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

t.test('other curves, other keys, rubbish and oversized requests are refused', (t) => {
  const k1 = ecKey('secp256k1');
  t.match(readCertificateRequest(createCertificateRequest(k1.publicKey, k1.privateKey)), {
    kind: 'invalid',
    reason: /curve/,
  });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  t.match(readCertificateRequest(createCertificateRequest(rsa.publicKey, rsa.privateKey)), {
    kind: 'invalid',
    reason: /curve/,
  });
  t.match(readCertificateRequest(Buffer.from('rubbish')), { kind: 'invalid', reason: /cannot be read/ });
  t.match(readCertificateRequest(Buffer.alloc(0)), { kind: 'invalid', reason: /cannot be read/ });
  t.match(readCertificateRequest(Buffer.alloc(MAX_CSR_BYTES + 1)), { kind: 'invalid', reason: /exceed the limit/ });
  const { publicKey, privateKey } = ecKey('P-256');
  const csr = createCertificateRequest(publicKey, privateKey);
  t.match(readCertificateRequest(Buffer.concat([csr, Buffer.of(0)])), { kind: 'invalid' });
  t.end();
});

t.test('a request cut short or bent at any byte never throws and is never valid with another key', (t) => {
  const { publicKey, privateKey } = ecKey('P-256');
  const csr = createCertificateRequest(publicKey, privateKey);
  const key = publicKey.export({ type: 'spki', format: 'der' });
  let stolen = 0;
  for (let index = 0; index < csr.length; index++) {
    const bent = Buffer.from(csr);
    bent[index] = (bent[index] ?? 0) ^ 0x41;
    for (const candidate of [bent, csr.subarray(0, index)]) {
      const result = readCertificateRequest(candidate);
      if (result.kind === 'valid' && !result.subjectPublicKeyInfo.equals(key)) stolen++;
    }
  }
  t.equal(stolen, 0);
  t.end();
});
