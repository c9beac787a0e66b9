import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { verifyPeer } from '#policy/x509/verify-peer.ts';
import { runProgram } from '../../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../../support/go-tools.ts';
import { NOW_MS, trusting } from './mesh-certificates.ts';
import { buildChain, randomChain, randomRoot } from './random-chains.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

const CHAINS = 1_000;
/** X509-SVID asks these of a leaf, and RFC 5280, which is what Go keeps to, does not. */
const STRICTER = new Set(['certificate_is_authority', 'wrong_key_usage']);

t.test('of chains made at random those are good that are good to Go', async (t) => {
  const tools = await goTools(t, 'certificates');
  if (tools === undefined) return;
  const seed = Date.now() & 0x7fffffff;
  const trust = trusting({ 'cluster.local': [randomRoot] });
  const made = fc.sample(randomChain, { numRuns: CHAINS, seed });
  const chains = made.map(buildChain);
  const lines = chains.map((chain) => {
    const encoded = chain.map((der) => der.toString('base64'));
    return JSON.stringify({ root: randomRoot.certificate.toString('base64'), chain: encoded, nowMs: NOW_MS });
  });
  const path = join(t.testdir(), 'chains');
  writeFileSync(path, lines.join('\n'));
  const { told, errors, code } = await runProgram(tools.certificates, [path]);
  t.equal(code, 0, errors);
  t.equal(told.length, CHAINS);

  const counts = new Map<string, number>();
  for (const [index, chain] of chains.entries()) {
    const verdict = verifyPeer(chain, trust, NOW_MS, 'client');
    const complaint = told[index]?.['complaint'];
    const outcome = verdict.kind === 'accepted' ? 'accepted' : verdict.code;
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    if ((complaint === '') === (verdict.kind === 'accepted') || STRICTER.has(outcome)) continue;
    t.fail(
      `seed ${seed}, chain ${index}: ${JSON.stringify(verdict)}; Go: "${complaint}"; ${JSON.stringify(made[index])}`,
    );
  }
  const wanted = [
    'accepted',
    'untrusted_issuer',
    'certificate_signature_invalid',
    'path_length_exceeded',
    'name_constraint_violated',
    'wrong_extended_key_usage',
    'certificate_expired',
    'certificate_not_yet_valid',
  ];
  for (const outcome of wanted) t.ok((counts.get(outcome) ?? 0) > 0, `${outcome}: ${counts.get(outcome)}`);
  t.ok((counts.get('accepted') ?? 0) > CHAINS / 20, `${[...counts]}`);
});
