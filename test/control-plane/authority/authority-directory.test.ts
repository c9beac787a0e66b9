import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmod, copyFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { CLOCK_SKEW_LIMITS, createAuthority, LEAF_LIFETIME_MS } from '#control-plane/authority/authority.ts';
import { openAuthorityDirectory } from '#control-plane/authority/authority-directory.ts';
import {
  ISSUER_LIFETIME_MS,
  ISSUER_RENEWAL_REST_MS,
  ROOT_LIFETIME_MS,
} from '#control-plane/authority/authority-store.ts';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { MESH } from '../control-plane-fixture.ts';

const WEB = spiffeId('cluster.local', 'shop', 'web');
const spki = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'der' });

/** Verifies a chain by openssl against root-cert.pem of the directory. */
async function verified(directory: string, chain: readonly Buffer[]): Promise<string> {
  await writeFile(join(directory, 'leaf.pem'), certificatesToPem(chain.slice(0, 1)));
  await writeFile(join(directory, 'above.pem'), certificatesToPem(chain.slice(1)));
  const untrusted = chain.length > 1 ? ['-untrusted', 'above.pem'] : [];
  const files = ['-CAfile', 'root-cert.pem', ...untrusted, 'leaf.pem'];
  return execFileSync('openssl', ['verify', '-x509_strict', '-purpose', 'sslserver', ...files], {
    cwd: directory,
    encoding: 'utf8',
  });
}

t.test('the first start makes an authority that openssl accepts, in files of mode 0600', async (t) => {
  const directory = join(t.testdir(), 'ca');
  const material = await openAuthorityDirectory(directory, MESH, Date.now());
  const names = await readdir(directory);
  t.strictSame(names.sort(), ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem', 'root-key.pem']);
  for (const name of names) t.equal((await stat(join(directory, name))).mode & 0o777, 0o600, name);
  const authority = createAuthority(material, { leafLifetimeMs: LEAF_LIFETIME_MS, now: Date.now });
  const { chain, expiresAtMs } = authority.issue(WEB, spki());
  t.match(await verified(directory, chain), 'leaf.pem: OK');
  t.ok(Math.abs(expiresAtMs - Date.now() - LEAF_LIFETIME_MS) < 5_000);
  const root = new X509Certificate(await readFile(join(directory, 'root-cert.pem')));
  t.ok(Math.abs(root.validToDate.getTime() - Date.now() - ROOT_LIFETIME_MS) < 5_000);
});

t.test('later starts use the same authority', async (t) => {
  const directory = t.testdir();
  const first = await openAuthorityDirectory(directory, MESH, Date.now());
  const second = await openAuthorityDirectory(directory, MESH, Date.now());
  t.ok(first.issuer.certificate.equals(second.issuer.certificate));
});

t.test('the issuing certificate is renewed under the same root when a third of its life is left', async (t) => {
  const directory = t.testdir();
  const madeAtMs = Date.now() - ISSUER_LIFETIME_MS + ISSUER_RENEWAL_REST_MS - 60_000;
  const first = await openAuthorityDirectory(directory, MESH, madeAtMs);
  const second = await openAuthorityDirectory(directory, MESH, Date.now());
  t.notOk(first.issuer.certificate.equals(second.issuer.certificate));
  t.ok(first.roots[0]?.equals(second.roots[0] ?? Buffer.alloc(0)));
  const authority = createAuthority(second, { leafLifetimeMs: LEAF_LIFETIME_MS, now: Date.now });
  t.match(await verified(directory, authority.issue(WEB, spki()).chain), 'leaf.pem: OK');
});

t.test('a start that was cut off while the issuer was made is mended by the next', async (t) => {
  const directory = t.testdir();
  await openAuthorityDirectory(directory, MESH, Date.now());
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  await writeFile(join(directory, 'ca-key.pem'), other.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const material = await openAuthorityDirectory(directory, MESH, Date.now());
  t.ok(new X509Certificate(material.issuer.certificate).checkPrivateKey(material.issuer.privateKey));
  for (const name of ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem', 'cert-chain.pem']) await rm(join(directory, name));
  t.ok(await openAuthorityDirectory(directory, MESH, Date.now()), 'a root key alone has signed nothing');
});

t.test(
  'an authority made by openssl is used as it is: RSA, an intermediate, the root at the end of the chain',
  async (t) => {
    const directory = t.testdir();
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
    const authorityExtension = ['-addext', 'keyUsage=critical,keyCertSign'];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '30',
      '-subj',
      '/O=Acme/CN=Root',
      ...authorityExtension,
      '-keyout',
      'r.key',
      '-out',
      'root-cert.pem',
    );
    openssl(
      'req',
      '-new',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/O=Acme/CN=Issuing',
      '-keyout',
      'ca-key.pem',
      '-out',
      'i.csr',
    );
    await writeFile(
      join(directory, 'ext'),
      'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      'i.csr',
      '-CA',
      'root-cert.pem',
      '-CAkey',
      'r.key',
      '-days',
      '20',
      '-extfile',
      'ext',
      '-out',
      'ca-cert.pem',
    );
    const both =
      (await readFile(join(directory, 'ca-cert.pem'), 'utf8')) +
      (await readFile(join(directory, 'root-cert.pem'), 'utf8'));
    await writeFile(join(directory, 'cert-chain.pem'), both);
    await chmod(join(directory, 'ca-key.pem'), 0o600);
    const material = await openAuthorityDirectory(directory, MESH, Date.now());
    const authority = createAuthority(material, { leafLifetimeMs: LEAF_LIFETIME_MS, now: Date.now });
    const { chain } = authority.issue(WEB, spki());
    t.equal(chain.length, 2, 'leaf and issuer, without the root');
    t.match(await verified(directory, chain), 'leaf.pem: OK');
    t.notOk((await readdir(directory)).includes('root-key.pem'));
  },
);

t.test('a key that others can read, a key that does not fit, a foreign root are refused by name', async (t) => {
  const directory = join(t.testdir(), 'ca');
  const other = join(t.testdirName, 'other');
  await openAuthorityDirectory(directory, MESH, Date.now());
  await openAuthorityDirectory(other, MESH, Date.now());
  await chmod(join(directory, 'ca-key.pem'), 0o640);
  await t.rejects(openAuthorityDirectory(directory, MESH, Date.now()), /ca-key.pem: mode 640 .*chmod 600/);
  await rm(join(directory, 'root-key.pem'));
  await copyFile(join(other, 'ca-key.pem'), join(directory, 'ca-key.pem'));
  await chmod(join(directory, 'ca-key.pem'), 0o600);
  await t.rejects(openAuthorityDirectory(directory, MESH, Date.now()), /ca-key.pem: is not the key of ca-cert.pem/);
  await copyFile(join(other, 'ca-cert.pem'), join(directory, 'ca-cert.pem'));
  await t.rejects(openAuthorityDirectory(directory, MESH, Date.now()), /cert-chain.pem: the issuer of/);
  await rm(join(directory, 'root-cert.pem'));
  await t.rejects(openAuthorityDirectory(directory, MESH, Date.now()), /root-cert.pem: missing/);
});

t.test('no leaf outlives any authority above it, the root among them', async (t) => {
  const directory = t.testdir();
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const usage = ['-addext', 'keyUsage=critical,keyCertSign'];
  const key = ['-newkey', 'rsa:2048', '-nodes'];
  const extensions = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n';
  await writeFile(join(directory, 'ext'), `${extensions}authorityKeyIdentifier=keyid\n`);
  /** root for `days[0]`, one between for `days[1]`, the issuer for `days[2]` */
  const chainOf = async (days: readonly [string, string, string]) => {
    openssl(
      'req',
      '-x509',
      ...key,
      '-days',
      days[0],
      '-subj',
      '/CN=Root',
      ...usage,
      '-keyout',
      'r.key',
      '-out',
      'root-cert.pem',
    );
    openssl('req', '-new', ...key, '-subj', '/CN=Between', '-keyout', 'b.key', '-out', 'b.csr');
    const extended = ['-extfile', 'ext'];
    openssl(
      'x509',
      '-req',
      '-in',
      'b.csr',
      '-CA',
      'root-cert.pem',
      '-CAkey',
      'r.key',
      '-days',
      days[1],
      ...extended,
      '-out',
      'b.pem',
    );
    openssl('req', '-new', ...key, '-subj', '/CN=Issuing', '-keyout', 'ca-key.pem', '-out', 'i.csr');
    openssl(
      'x509',
      '-req',
      '-in',
      'i.csr',
      '-CA',
      'b.pem',
      '-CAkey',
      'b.key',
      '-days',
      days[2],
      ...extended,
      '-out',
      'ca-cert.pem',
    );
    const chain = `${await readFile(join(directory, 'ca-cert.pem'), 'utf8')}${await readFile(join(directory, 'b.pem'), 'utf8')}`;
    await writeFile(join(directory, 'cert-chain.pem'), chain);
    await chmod(join(directory, 'ca-key.pem'), 0o600);
    return openAuthorityDirectory(directory, MESH, Date.now());
  };
  const leafLifetimeMs = 90 * 86_400_000;
  for (const days of [
    ['5', '20', '30'],
    ['30', '5', '20'],
    ['30', '20', '5'],
  ] as const) {
    const authority = createAuthority(await chainOf(days), { leafLifetimeMs, now: Date.now });
    const { chain, expiresAtMs } = authority.issue(WEB, spki());
    t.ok(Math.abs(expiresAtMs - Date.now() - 5 * 86_400_000) < 60_000, days.join(' '));
    t.match(await verified(directory, chain), 'leaf.pem: OK');
  }
});

t.test('an authority of our making begins before any leaf that it may sign', async (t) => {
  const { issuer, roots } = await openAuthorityDirectory(t.testdir(), MESH, Date.now());
  for (const der of [issuer.certificate, ...roots]) {
    const beganMs = Date.now() - new X509Certificate(der).validFromDate.getTime();
    t.ok(beganMs >= CLOCK_SKEW_LIMITS.maximumMs);
  }
});
