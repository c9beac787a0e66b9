import { readBoundedFile } from '#files/read-bounded-file.ts';
import type { TrustedDomain } from '#policy/trust/peer-trust.ts';
import { MAX_BUNDLE_BYTES, readSpiffeBundle } from '#policy/trust/spiffe-bundle.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';

/** A file with the roots of another trust domain. */
export interface FederatedFile {
  readonly trustDomain: string;
  /** A path. */
  readonly bundle: string;
}

/**
 * The roots of other trust domains. One that cannot be read is reported, and its roots stay those of `before`: what another domain
 * writes must not keep the own certificate from being renewed.
 */
export async function readFederatedFiles(
  files: readonly FederatedFile[],
  before: readonly TrustedDomain[],
  onProblem: (message: string) => void,
): Promise<readonly TrustedDomain[]> {
  const read = await Promise.all(
    files.map(async (file) => {
      try {
        return await readFederatedFile(file);
      } catch (error) {
        onProblem(error instanceof Error ? error.message : String(error));
        return before.find(({ trustDomain }) => trustDomain === file.trustDomain);
      }
    }),
  );
  return read.filter((domain) => domain !== undefined);
}

async function readFederatedFile({ trustDomain, bundle }: FederatedFile): Promise<TrustedDomain> {
  const file = await readBoundedFile(bundle, MAX_BUNDLE_BYTES);
  if (file === undefined) throw new Error(`cannot read the bundle of ${trustDomain}: there is no file ${bundle}`);
  try {
    return { trustDomain, rootsPem: certificatesToPem(readSpiffeBundle(file.text).roots) };
  } catch (error) {
    throw new Error(`${bundle}: bundle of ${trustDomain}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
