import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { watchPath } from '#files/watch-path.ts';
import type { SpiffeId } from '#policy/identity/spiffe-id.ts';
import type { TrustedDomain } from '#policy/trust/peer-trust.ts';
import { leafIdentity } from '#policy/x509/leaf-identity.ts';
import { readCertificate } from '#policy/x509/read-certificate.ts';
import type { CredentialSource, Credentials } from '../identity/credentials.ts';
import { checkUsable } from '../identity/usable-credentials.ts';
import { type FederatedFile, readFederatedFiles } from './federated-files.ts';

export interface CredentialFiles {
  readonly certificate: string;
  readonly privateKey: string;
  readonly trustBundle: string;
  readonly federation: readonly FederatedFile[];
}

/**
 * Credentials from files, read again when they change; a broken set is reported to `onProblem` and the
 * one before it stays. Rejects when the first set cannot be used.
 */
export async function watchCredentialFiles(
  files: CredentialFiles,
  expected: SpiffeId,
  onProblem: (message: string) => void,
): Promise<CredentialSource> {
  const { federation } = files;
  const refuse = (message: string) => {
    throw new Error(message);
  };
  let current = await readCredentials(files, expected, await readFederatedFiles(federation, [], refuse));
  const listeners = new Set<(credentials: Credentials) => void>();
  const reload = async () => {
    try {
      const federated = await readFederatedFiles(federation, current.federated ?? [], onProblem);
      current = await readCredentials(files, expected, federated);
      for (const listener of listeners) listener(current);
    } catch (error) {
      onProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const paths = [files.certificate, files.privateKey, files.trustBundle, ...federation.map(({ bundle }) => bundle)];
  const ends = paths.map((path) => watchPath(path, () => void reload()));
  return {
    current: () => current,
    onRenewal(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      for (const end of ends) end();
    },
  };
}

async function readCredentials(
  files: CredentialFiles,
  expected: SpiffeId,
  federated: readonly TrustedDomain[],
): Promise<Credentials> {
  const certificateChainPem = await readText(files.certificate, 'certificate');
  const privateKeyPem = await readText(files.privateKey, 'privateKey');
  const trustBundlePem = await readText(files.trustBundle, 'trustBundle');
  const leaf = parsed(files.certificate, () => new X509Certificate(certificateChainPem));
  parsed(files.trustBundle, () => new X509Certificate(trustBundlePem));
  const key = parsed(files.privateKey, () => createPrivateKey(privateKeyPem));
  if (!leaf.checkPrivateKey(key)) throw new Error(`${files.privateKey} is not the key of ${files.certificate}`);
  const identity = parsed(files.certificate, () => leafIdentity(readCertificate(leaf.raw)));
  if (identity.kind === 'refused') throw new Error(`${files.certificate}: ${identity.reason}`);
  if (identity.id.uri !== expected.uri) {
    throw new Error(`${files.certificate} is of ${identity.id.uri}; trustDomain and workload say ${expected.uri}`);
  }
  const expiresAtMs = leaf.validToDate.getTime();
  if (expiresAtMs <= Date.now()) {
    throw new Error(`${files.certificate} ended ${leaf.validTo}; the clock here says ${new Date().toUTCString()}`);
  }
  const { id } = identity;
  const credentials = { identity: id, certificateChainPem, privateKeyPem, trustBundlePem, expiresAtMs, federated };
  try {
    checkUsable(credentials);
  } catch (error) {
    const { certificate, trustBundle } = files;
    throw new Error(`${certificate}, ${trustBundle}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return credentials;
}

async function readText(path: string, field: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new Error(`cannot read ${field} ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function parsed<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${path} is not PEM that can be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
