import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { readRoot } from '#policy/x509/root.ts';
import { type PeerVerdict, verifyPeer } from '#policy/x509/verify-peer.ts';
import { runProgram } from '../../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../../support/go-tools.ts';
import { WEB } from './mesh-certificates.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

function verdictUnder(root: Buffer, chain: readonly Buffer[], use: 'client' | 'server' = 'client'): PeerVerdict {
  const roots = [readRoot(root)];
  const trust = {
    rootsOf: (domain: string) => (domain === 'cluster.local' ? roots : undefined),
    revocationOf: () => undefined,
  };
  return verifyPeer(chain, trust, Date.now(), use);
}

/** A folder in which openssl makes certificates. */
class Workshop {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    writeFileSync(join(folder, 'none.cnf'), '[req]\ndistinguished_name=dn\n[dn]\n');
  }

  /** `key`: arguments of -newkey and -pkeyopt. `above`: the name of its issuer, which is itself where it is absent. */
  make(name: string, key: readonly string[], extensions: readonly string[], above?: string, hash = 'sha256'): Buffer {
    const issuer = above === undefined ? [] : ['-CA', `${above}.pem`, '-CAkey', `${above}.key`];
    const added = extensions.flatMap((text) => ['-addext', text]);
    const out = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    const args = [
      'req',
      '-x509',
      '-config',
      'none.cnf',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/O=Works/CN=${name}`,
      `-${hash}`,
    ];
    execFileSync('openssl', [...args, '-newkey', ...key, ...issuer, ...added, ...out], {
      cwd: this.#folder,
      stdio: 'pipe',
    });
    const [der] = certificatesFromPem(readFileSync(join(this.#folder, `${name}.pem`), 'utf8'));
    if (der === undefined) throw new Error('openssl made no certificate');
    return der;
  }
}

const EC = (curve: string) => ['ec', '-pkeyopt', `ec_paramgen_curve:${curve}`];
const RSA = (size: number) => [`rsa:${size}`];
const AUTHORITY = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];
const LEAF = [
  'basicConstraints=critical,CA:FALSE',
  'keyUsage=critical,digitalSignature',
  'extendedKeyUsage=serverAuth,clientAuth',
  `subjectAltName=URI:${WEB},DNS:web.shop`,
];

t.test('chains that openssl makes are judged', (t) => {
  const works = new Workshop(t.testdir());
  const roots = {
    p256: works.make('p256', EC('P-256'), AUTHORITY),
    p384: works.make('p384', EC('P-384'), AUTHORITY, undefined, 'sha384'),
    rsa: works.make('rsa', RSA(2048), AUTHORITY),
    ed: works.make('ed', ['ed25519'], AUTHORITY),
  };
  for (const [name, root] of Object.entries(roots)) {
    const middle = works.make(
      `${name}-issuing`,
      EC('P-256'),
      [...AUTHORITY, 'nameConstraints=critical,permitted;URI:cluster.local'],
      name,
    );
    const leaf = works.make(`${name}-leaf`, EC('P-256'), LEAF, `${name}-issuing`);
    t.match(verdictUnder(root, [leaf, middle]), { kind: 'accepted', id: { uri: WEB } }, name);
    t.match(verdictUnder(root, [works.make(`${name}-direct`, EC('P-384'), LEAF, name)]), { kind: 'accepted' }, name);
  }
  const middle = works.make(
    'bounded',
    EC('P-256'),
    [...AUTHORITY, 'nameConstraints=critical,excluded;URI:.local'],
    'p256',
  );
  const refusals: { readonly [code: string]: readonly Buffer[] } = {
    name_constraint_violated: [works.make('excluded', EC('P-256'), LEAF, 'bounded'), middle],
    certificate_is_authority: [works.make('grand', EC('P-256'), [...AUTHORITY, `subjectAltName=URI:${WEB}`], 'p256')],
    weak_signature: [works.make('small', RSA(1024), LEAF, 'p256')],
    untrusted_issuer: [works.make('self', EC('P-256'), LEAF)],
    several_uri_names: [works.make('two', EC('P-256'), [`subjectAltName=URI:${WEB},URI:${WEB}2`], 'p256')],
  };
  for (const [code, chain] of Object.entries(refusals)) t.match(verdictUnder(roots.p256, chain), { code }, code);
  const sha1 = works.make('sha1', EC('P-256'), LEAF, 'p256', 'sha1');
  t.match(verdictUnder(roots.p256, [sha1]), { code: 'weak_signature', reason: /SHA-1/ });
  const explicit = works.make('explicit', [...EC('P-256'), '-pkeyopt', 'ec_param_enc:explicit'], LEAF, 'p256');
  t.match(verdictUnder(roots.p256, [explicit]), { code: 'weak_signature', reason: /curve/ });
  const codeSigning = [...LEAF.filter((text) => !text.startsWith('extended')), 'extendedKeyUsage=codeSigning'];
  const signer = works.make('signer', EC('P-256'), codeSigning, 'p256');
  t.match(verdictUnder(roots.p256, [signer]), { code: 'wrong_extended_key_usage' });
  t.end();
});

t.test('chains that Go makes are judged', async (t) => {
  const tools = await goTools(t, 'certificates');
  if (tools === undefined) return;
  const { told, errors, code } = await runProgram(tools.certificates, []);
  t.equal(code, 0, errors);
  t.ok(told.length >= 12, `${told.length} chains`);
  const decode = (text: unknown) => Buffer.from(String(text), 'base64');
  for (const { name, root, chain } of told) {
    if (!Array.isArray(chain)) throw new Error(`no chain: ${name}`);
    const wanted = String(name).endsWith('for another')
      ? { code: 'name_constraint_violated' }
      : { kind: 'accepted', id: { uri: WEB } };
    for (const use of ['client', 'server'] as const) {
      t.match(verdictUnder(decode(root), chain.map(decode), use), wanted, String(name));
    }
  }
});
