import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './run-command.ts';

/** A key as openssl makes it, in the form that it has always had (SEC1, PKCS#1), or in PKCS#8. */
export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'RSA' | 'Ed25519';

/** An authority that openssl made: files in its folder. */
export interface OpensslAuthority {
  readonly certificate: string;
  readonly key: string;
  readonly pem: string;
  readonly keyPem: string;
}

const KEY_COMMANDS: { readonly [kind in KeyKind]: readonly string[] } = {
  'P-256': ['ecparam', '-name', 'prime256v1', '-genkey', '-noout'],
  'P-384': ['ecparam', '-name', 'secp384r1', '-genkey', '-noout'],
  'P-521': ['ecparam', '-name', 'secp521r1', '-genkey', '-noout'],
  RSA: ['genrsa', '-traditional', '2048'],
  Ed25519: ['genpkey', '-algorithm', 'ed25519'],
};

/** Runs openssl; rejects with its words where it fails. */
export async function openssl(args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await runCommand('openssl', args, input);
  if (code !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** PEM. */
export function opensslKey(kind: KeyKind): Promise<string> {
  return openssl(KEY_COMMANDS[kind]);
}

/** An authority for a year, of which `pathLength` others may follow below; a root where no issuer is given. */
export async function opensslAuthority(
  directory: string,
  name: string,
  kind: KeyKind,
  pathLength: number,
  issuer?: OpensslAuthority,
): Promise<OpensslAuthority> {
  const file = (ending: string) => join(directory, `${name}.${ending}`);
  const keyPem = await opensslKey(kind);
  await writeFile(file('key'), keyPem, { mode: 0o600 });
  const extensions = [
    `basicConstraints=critical,CA:TRUE,pathlen:${pathLength}`,
    'keyUsage=critical,keyCertSign,cRLSign',
    'subjectKeyIdentifier=hash',
    'authorityKeyIdentifier=keyid',
  ];
  await writeFile(file('ext'), extensions.join('\n'));
  const subject = ['-subj', `/O=shop/CN=${name}`];
  const request = await openssl(['req', '-new', '-key', file('key'), ...subject]);
  const signer = issuer === undefined ? ['-signkey', file('key')] : ['-CA', issuer.certificate, '-CAkey', issuer.key];
  const serial = ['-set_serial', `0x${Buffer.from(name).toString('hex')}`];
  const pem = await openssl(['x509', '-req', '-days', '365', ...signer, ...serial, '-extfile', file('ext')], request);
  await writeFile(file('pem'), pem);
  return { certificate: file('pem'), key: file('key'), pem, keyPem: await readFile(file('key'), 'utf8') };
}
