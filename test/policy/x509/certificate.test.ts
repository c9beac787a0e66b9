import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  CLOCK_SKEW_ALLOWANCE_MS,
  type Issuer,
  issueAuthority,
  issueLeaf,
  issueRoot,
  SERIAL_BYTES,
} from '#policy/x509/certificate.ts';
import { leafIdentity } from '#policy/x509/leaf-identity.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { identityOfLeaf } from '../../support/openssl-identity.ts';

const DAY_MS = 86_400_000;
const WEB = 'spiffe://cluster.local/ns/shop/sa/web';

const ecKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const spki = (key: KeyObject) => key.export({ type: 'spki', format: 'der' });
const serial = () => randomBytes(SERIAL_BYTES);

function root(pair: { publicKey: KeyObject; privateKey: KeyObject } = ecKey(), nowMs = Date.now()): Issuer {
  const request = {
    commonName: 'Root',
    trustDomain: 'cluster.local',
    pathLength: 1,
    subjectPublicKeyInfo: spki(pair.publicKey),
    nowMs,
    lifetimeMs: 3650 * DAY_MS,
    serial: serial(),
  };
  const certificate = issueRoot(request, pair.privateKey);
  return { certificate, privateKey: pair.privateKey, notAfterMs: nowMs + request.lifetimeMs };
}

function issuing(above: Issuer, lifetimeMs = 365 * DAY_MS): Issuer {
  const pair = ecKey();
  const nowMs = Date.now();
  const certificate = issueAuthority(
    {
      commonName: 'Issuing',
      trustDomain: 'cluster.local',
      pathLength: 0,
      subjectPublicKeyInfo: spki(pair.publicKey),
      nowMs,
      lifetimeMs,
      serial: serial(),
    },
    above,
  );
  return { certificate, privateKey: pair.privateKey, notAfterMs: nowMs + lifetimeMs };
}

function leaf(issuer: Issuer, publicKey = ecKey().publicKey, lifetimeMs = DAY_MS): Buffer {
  return issueLeaf(
    { uri: WEB, subjectPublicKeyInfo: spki(publicKey), nowMs: Date.now(), lifetimeMs, serial: serial() },
    issuer,
  );
}

t.test('openssl accepts a leaf for TLS servers and clients, strictly', (t) => {
  const directory = t.testdir();
  const top = root();
  const middle = issuing(top);
  writeFileSync(join(directory, 'root.pem'), certificatesToPem([top.certificate]));
  writeFileSync(join(directory, 'middle.pem'), certificatesToPem([middle.certificate]));
  for (const [name, publicKey] of [
    ['p256', ecKey().publicKey],
    ['p384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey],
  ] as const) {
    writeFileSync(join(directory, 'leaf.pem'), certificatesToPem([leaf(middle, publicKey)]));
    for (const purpose of ['sslclient', 'sslserver']) {
      const files = ['-CAfile', 'root.pem', '-untrusted', 'middle.pem', 'leaf.pem'];
      const output = execFileSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, ...files], {
        cwd: directory,
        encoding: 'utf8',
      });
      t.match(output, 'leaf.pem: OK', `${name} ${purpose}`);
    }
  }
  t.end();
});

t.test('a leaf says what the profile demands', (t) => {
  const directory = t.testdir();
  const issuer = issuing(root());
  const der = leaf(issuer);
  writeFileSync(join(directory, 'leaf.pem'), certificatesToPem([der]));
  const text = execFileSync('openssl', ['x509', '-in', 'leaf.pem', '-noout', '-text'], {
    cwd: directory,
    encoding: 'utf8',
  });
  t.match(text, /Key Usage: critical\s+Digital Signature\n/);
  t.match(text, /Extended Key Usage:\s+TLS Web Server Authentication, TLS Web Client Authentication\n/);
  t.match(text, /Basic Constraints: critical\s+CA:FALSE\n/);
  t.match(text, /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/shop\/sa\/web\n/);
  t.match(text, /Subject:\s*\n/);
  t.match(text, /X509v3 Authority Key Identifier/);
  t.match(text, /X509v3 Subject Key Identifier/);
  const certificate = new X509Certificate(der);
  const skewMs = Date.now() - certificate.validFromDate.getTime();
  t.ok(Math.abs(skewMs - CLOCK_SKEW_ALLOWANCE_MS) < 5_000, 'begins five minutes ago');
  t.ok(Math.abs(certificate.validToDate.getTime() - Date.now() - DAY_MS) < 5_000, 'ends in a day');
  t.match(leafIdentity(readCertificate(der)), { kind: 'identity', id: { uri: WEB } });
  t.match(identityOfLeaf(certificate), { kind: 'valid', id: { uri: WEB } }, 'as OpenSSL reads it');
  t.end();
});

t.test('a serial is the 128 bits that were drawn, positive and in its shortest form', (t) => {
  const issuer = issuing(root());
  for (const drawn of [
    'ff'.repeat(SERIAL_BYTES),
    '80'.padEnd(32, '1'),
    '7f'.padEnd(32, '0'),
    '0080'.padEnd(32, '2'),
    '00'.repeat(15).concat('01'),
  ]) {
    const der = issueLeaf(
      {
        uri: WEB,
        subjectPublicKeyInfo: spki(ecKey().publicKey),
        nowMs: Date.now(),
        lifetimeMs: DAY_MS,
        serial: Buffer.from(drawn, 'hex'),
      },
      issuer,
    );
    const shown = new X509Certificate(der).serialNumber.toLowerCase();
    t.equal(BigInt(`0x${shown}`), BigInt(`0x${drawn}`));
    writeFileSync(join(t.testdir(), 'leaf.pem'), certificatesToPem([der]));
    execFileSync('openssl', ['x509', '-in', join(t.testdirName, 'leaf.pem'), '-noout', '-serial']);
  }
  const zero = {
    uri: WEB,
    subjectPublicKeyInfo: spki(ecKey().publicKey),
    nowMs: 0,
    lifetimeMs: DAY_MS,
    serial: Buffer.alloc(SERIAL_BYTES),
  };
  t.throws(() => issueLeaf(zero, issuer), /a serial of zero/);
  t.end();
});

t.test('a leaf begins as long ago as clocks may be behind', (t) => {
  const nowMs = Math.floor(Date.now() / 1_000) * 1_000;
  for (const clockSkewMs of [0, 3_600_000]) {
    const serial = randomBytes(SERIAL_BYTES);
    const request = {
      uri: WEB,
      subjectPublicKeyInfo: spki(ecKey().publicKey),
      nowMs,
      lifetimeMs: DAY_MS,
      clockSkewMs,
      serial,
    };
    const begins = new X509Certificate(issueLeaf(request, issuing(root()))).validFromDate.getTime();
    t.equal(nowMs - begins, clockSkewMs);
  }
  t.end();
});

t.test('a leaf never outlives its issuer', (t) => {
  const issuer = issuing(root(), 60_000);
  const certificate = new X509Certificate(leaf(issuer));
  t.ok(certificate.validToDate.getTime() <= issuer.notAfterMs);
  t.end();
});

t.test('an authority is not taken for a leaf', (t) => {
  t.match(leafIdentity(readCertificate(root().certificate)), { kind: 'refused', reason: /authority/ });
  t.end();
});

t.test('years from 2050 are written as GeneralizedTime', (t) => {
  const top = root(ecKey(), Date.UTC(2045, 0, 1));
  t.equal(new X509Certificate(top.certificate).validToDate.getUTCFullYear(), 2054);
  t.end();
});

t.test('an RSA authority that was plugged in signs leaves too', (t) => {
  const top = root(generateKeyPairSync('rsa', { modulusLength: 2048 }));
  const certificate = new X509Certificate(leaf(top));
  t.ok(certificate.verify(new X509Certificate(top.certificate).publicKey));
  t.end();
});

t.test('takes the key identifier of an issuer made by openssl', (t) => {
  const directory = t.testdir();
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-384',
      '-nodes',
      '-days',
      '30',
      '-subj',
      '/O=Acme/CN=Plug-in',
      '-addext',
      'keyUsage=critical,keyCertSign',
    ].concat(['-keyout', 'key.pem', '-out', 'ca.pem']),
    { cwd: directory, stdio: 'pipe' },
  );
  const read = (name: string) => execFileSync('cat', [join(directory, name)], { encoding: 'utf8' });
  const [certificate] = certificatesFromPem(read('ca.pem'));
  if (certificate === undefined) throw new Error('openssl made no certificate');
  const issuer = { certificate, privateKey: createPrivateKey(read('key.pem')), notAfterMs: Date.now() + DAY_MS };
  writeFileSync(join(directory, 'leaf.pem'), certificatesToPem([leaf(issuer)]));
  const output = execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', 'ca.pem', 'leaf.pem'], {
    cwd: directory,
    encoding: 'utf8',
  });
  t.match(output, 'OK');
  t.end();
});
