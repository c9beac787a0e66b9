import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Client, Metadata } from '@grpc/grpc-js';
import type { ControlPlaneReach } from './reach-options.ts';

/** Name of the root certificate in the authority's directory, as Istio has it. */
const ROOT_FILE = 'root-cert.pem';

export interface OperatorConnection {
  readonly client: Client;
  /** With the token. */
  readonly metadata: Metadata;
  /** Why a call failed, in words for the operator. */
  readonly callFailure: (error: unknown) => string;
}

/**
 * A connection to a control plane, made when the first call needs it: TLS 1.3, and the server must prove to be the control
 * plane of the mesh. Rejects where a file cannot be read.
 */
export async function connectAsOperator(reach: ControlPlaneReach): Promise<OperatorConnection> {
  const { address, mesh, tokenFile } = reach;
  const token = (await fileText('--token-file', tokenFile)).trim();
  if (!/^\S{1,512}$/.test(token)) {
    throw new Error(`--token-file: ${tokenFile} holds no token; \`lateral token --config FILE --operator\` prints one`);
  }
  const bundle = reach.trustBundle ?? join(dirname(tokenFile), ROOT_FILE);
  const trustBundlePem = await fileText('--trust-bundle', bundle);
  const { bearing, callFailure, openControlConnection } = await import('#sidecar/control/control-endpoint.ts');
  const client = openControlConnection({ address, trustBundlePem, mesh }, undefined);
  return { client, metadata: bearing(token), callFailure };
}

async function fileText(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${option}: cannot read ${path} (${why}); docs/operating.md says how to get it`);
  }
}
