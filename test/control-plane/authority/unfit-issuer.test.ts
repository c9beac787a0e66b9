import { execFileSync } from 'node:child_process';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import { MESH } from '../control-plane-fixture.ts';

interface Faults {
  readonly rootConstraints?: string;
  readonly issuerExtensions?: string;
  readonly issuerKey?: readonly string[];
  readonly digest?: string;
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** An authority of openssl's making, whose files fit together. */
async function plugged(t: Test, faults: Faults = {}): Promise<string> {
  const { rootConstraints = 'CA:TRUE', issuerExtensions = '', issuerKey = EC, digest = '-sha256' } = faults;
  const directory = t.testdir();
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const own = ['-addext', `basicConstraints=critical,${rootConstraints}`, '-addext', 'keyUsage=critical,keyCertSign'];
  await writeFile(join(directory, 'cnf'), '[req]\ndistinguished_name=dn\n[dn]\n');
  const root = ['-config', 'cnf', '-subj', '/CN=Root', '-keyout', 'r.key', '-out', 'root-cert.pem'];
  openssl('req', '-x509', ...EC, '-nodes', '-days', '30', ...own, ...root);
  const request = ['-subj', '/CN=Issuing', '-keyout', 'ca-key.pem', '-out', 'i.csr'];
  openssl('req', '-new', '-config', 'cnf', ...issuerKey, '-nodes', ...request);
  const extensions = `basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n${issuerExtensions}\n`;
  await writeFile(join(directory, 'ext'), extensions);
  const signing = ['-CA', 'root-cert.pem', '-CAkey', 'r.key', '-CAcreateserial', '-days', '20', digest];
  openssl('x509', '-req', '-in', 'i.csr', ...signing, '-extfile', 'ext', '-out', 'ca-cert.pem');
  await writeFile(join(directory, 'cert-chain.pem'), await readFile(join(directory, 'ca-cert.pem')));
  await chmod(join(directory, 'ca-key.pem'), 0o600);
  await rm(join(directory, 'r.key'));
  return directory;
}

t.test('an issuer that sidecars accept is taken', async (t) => {
  t.ok(await openAuthorityDirectory(await plugged(t), MESH, Date.now()));
});

t.test('an authority that has ended is refused, its root or what issues', async (t) => {
  const directory = await plugged(t);
  const inDays = (days: number) => openAuthorityDirectory(directory, MESH, Date.now() + days * 86_400_000);
  await t.rejects(inDays(21), /ca-cert\.pem|cert-chain\.pem/);
  await t.rejects(inDays(31), /root-cert\.pem|cert-chain\.pem/);
});

for (const [name, faults] of Object.entries<Faults>({
  'a SHA-1 signature': { digest: '-sha1' },
  'another domain by its name constraints': {
    issuerExtensions: 'nameConstraints=critical,permitted;URI:other.example',
  },
  'a root that allows no authority below it': { rootConstraints: 'CA:TRUE,pathlen:0' },
  'an RSA key of 1024 bits': { issuerKey: ['-newkey', 'rsa:1024'] },
  'a key that cannot sign here': { issuerKey: ['-newkey', 'ed25519'] },
})) {
  t.test(`an issuer whose leaves nobody would accept is refused: ${name}`, async (t) => {
    const directory = await plugged(t, faults);
    const complaint = /ca-cert.pem: nobody would accept what it signs: |ca-key.pem: cannot sign: /;
    await t.rejects(openAuthorityDirectory(directory, MESH, Date.now()), complaint);
  });
}
