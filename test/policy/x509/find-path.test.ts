import t from 'tap';
import { findPath, MAX_PATH_STEPS, MAX_SIGNATURES, type PathJudge } from '#policy/x509/find-path.ts';
import { IssuerMemory, type Signer } from '#policy/x509/issuer-memory.ts';
import { type Certificate, readCertificate } from '#policy/x509/read-certificate.ts';
import { readRoot } from '#policy/x509/root.ts';
import { ALGORITHM, ecPair, ext } from './build-certificate.ts';
import { makeIssuer, makeLeaf, makeRoot, type TestIssuer } from './mesh-certificates.ts';

/** Knows nothing, and counts the signatures that are then verified. */
class CountingMemory extends IssuerMemory {
  verified = 0;

  override wasSignedBy(_certificate: Certificate, _signer: Signer): boolean {
    this.verified++;
    return false;
  }
}

function search(
  leaf: Buffer,
  others: readonly Buffer[],
  roots: readonly TestIssuer[],
  judge: PathJudge = () => undefined,
) {
  const memory = new CountingMemory();
  const chain = [readCertificate(leaf), ...others.map(readCertificate)] as const;
  const trusted = roots.map(({ certificate }) => readRoot(certificate));
  const found = findPath(chain, trusted, judge, memory);
  return { found, verified: memory.verified };
}

const certificatesOf = (issuers: readonly TestIssuer[]) => issuers.map(({ certificate }) => certificate);

const root = makeRoot();
const costly = () => ecPair('P-521');
const stranger = makeRoot('Stranger', costly(), ALGORITHM.ecdsaSha512);

/** All of one name, each signed by the next: every one of them may have issued every other. */
function ring(name: string, length: number): TestIssuer[] {
  const pairs = Array.from({ length }, costly);
  return pairs.map((pair, index) => {
    const above = { ...stranger, name: makeRoot(name).name, pair: pairs[(index + 1) % length] ?? pair };
    return makeIssuer(above, name, {}, pair, ALGORITHM.ecdsaSha512);
  });
}

t.test('of a chain that no root is named by no signature is verified', async (t) => {
  const issuers = ring('X', 9);
  const { found, verified } = search(makeLeaf(issuers[0] ?? stranger), certificatesOf(issuers), [root]);
  t.match(found, { code: 'untrusted_issuer', reason: new RegExp(`first ${MAX_PATH_STEPS} steps`) });
  t.equal(verified, 0);
});

t.test('a foreign chain that names a root fails at the signature that the root is said to have made', async (t) => {
  const upper = makeIssuer({ ...stranger, name: root.name }, 'Upper', {}, costly(), ALGORITHM.ecdsaSha512);
  const lower = makeIssuer(upper, 'Lower', {}, costly(), ALGORITHM.ecdsaSha512);
  const { found, verified } = search(makeLeaf(lower), certificatesOf([lower, upper]), [root]);
  t.match(found, { code: 'certificate_signature_invalid', reason: /issuer "CN=Upper".*of "CN=Root"/ });
  t.equal(verified, 1);
});

t.test('each signature is verified once, however many paths go by it', async (t) => {
  const upper = makeIssuer(root, 'Upper');
  const upperAgain = makeIssuer(root, 'Upper', {}, upper.pair);
  const lower = makeIssuer(upper);
  const judge = () => ({ kind: 'refused', code: 'certificate_expired', reason: 'in this test' }) as const;
  const { found, verified } = search(makeLeaf(lower), certificatesOf([lower, upper, upperAgain]), [root], judge);
  t.match(found, { code: 'certificate_expired' });
  t.equal(verified, 5, 'of two paths of three, one signature is the same');
});

t.test('no more signatures are verified than the limit, by whatever names', async (t) => {
  const issuers = ring('Root', 9);
  const { found, verified } = search(makeLeaf(issuers[0] ?? stranger), certificatesOf(issuers), [root]);
  t.match(found, { code: 'untrusted_issuer', reason: new RegExp(`first ${MAX_SIGNATURES} signatures`) });
  t.equal(verified, MAX_SIGNATURES);
});

t.test('as many signatures as the limit are a good path, one more is none', async (t) => {
  const issuers = [root];
  while (issuers.length <= MAX_SIGNATURES) {
    issuers.push(makeIssuer(issuers.at(-1) ?? root, `Authority ${issuers.length}`, { extensions: [ext.authority()] }));
  }
  for (const [length, isGood] of [
    [MAX_SIGNATURES, true],
    [MAX_SIGNATURES + 1, false],
  ] as const) {
    const above = issuers.slice(0, length);
    const { found } = search(makeLeaf(above.at(-1) ?? root), certificatesOf(above.slice(1)), [root]);
    t.equal('certificates' in found, isGood, `${length}`);
  }
});
