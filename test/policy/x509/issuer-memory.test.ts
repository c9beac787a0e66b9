import t from 'tap';
import { IssuerMemory, MAX_KNOWN_ISSUERS, signerOf } from '#policy/x509/issuer-memory.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import { ecPair } from './build-certificate.ts';
import { makeIssuer, makeRoot } from './mesh-certificates.ts';

const root = readCertificate(makeRoot('Root').certificate);
const other = readCertificate(makeRoot('Other').certificate);
const pair = ecPair();
const issuers = Array.from({ length: MAX_KNOWN_ISSUERS + 1 }, (_, index) => {
  return makeIssuer(makeRoot('Root', pair), `Issuing ${index}`, {}, pair).certificate;
});
const first = issuers[0] ?? root.der;

t.test('an issuer that is remembered is read once, and known to be signed by that key alone', async (t) => {
  const memory = new IssuerMemory();
  t.not(memory.read(first), memory.read(first), 'not before');
  memory.remember(memory.read(first), signerOf(root));
  const known = memory.read(Buffer.from(first));
  t.equal(memory.read(first), known);
  t.equal(memory.signerOf(known), memory.signerOf(known));
  t.ok(memory.wasSignedBy(known, signerOf(root)));
  t.notOk(memory.wasSignedBy(known, signerOf(other)));
  t.notOk(memory.wasSignedBy(readCertificate(first), signerOf(root)), 'what was read elsewhere is not known');
  memory.remember(known, signerOf(other));
  t.ok(memory.wasSignedBy(known, signerOf(other)), 'of two roots');
});

t.test('what is remembered is a copy', async (t) => {
  const memory = new IssuerMemory();
  const bytes = Buffer.from(first);
  memory.remember(memory.read(bytes), signerOf(root));
  bytes.fill(0);
  t.same(memory.read(first).der, first);
});

t.test('the first is forgotten when there is no more room', async (t) => {
  const memory = new IssuerMemory();
  for (const der of issuers) memory.remember(memory.read(der), signerOf(root));
  const again = issuers.map((der) => memory.read(der));
  const known = issuers.filter((der, index) => memory.read(der) === again[index]);
  t.equal(known.length, MAX_KNOWN_ISSUERS);
  t.notOk(known.includes(first));
});
