import { type CodeEntry, GRPC } from './code-entry.ts';

function forbidden(meaning: string, remedy: string) {
  return {
    family: 'refused',
    status: 403,
    grpcStatus: GRPC.permissionDenied,
    title: 'Forbidden',
    meaning,
    remedy,
  } as const satisfies CodeEntry;
}

/** What becomes of requests that a CUSTOM policy has a provider asked about. */
export const PROVIDER_CODES = {
  authorization_provider_denied: forbidden(
    'The provider of a CUSTOM policy refused the request. What the caller is told (status, headers, body) is what the provider said.',
    'The log names policy, provider and its status; why it refused stands in the log of the provider.',
  ),
  authorization_provider_unavailable: forbidden(
    'The provider of a CUSTOM policy did not answer in time, could not be reached, or answered what is no answer. `statusOnError` changes the status, `failOpen` lets such requests pass.',
    'The reason in the log says which. Look at the provider, its `service` and `port`, and whether its own policies let this workload in.',
  ),
  authorization_provider_unknown: forbidden(
    'A CUSTOM policy names a provider that MeshDefaults.extensionProviders does not have: what it would be asked about is refused.',
    'Correct `provider.name`, or add the provider to MeshDefaults.',
  ),
} as const satisfies { readonly [code: string]: CodeEntry };
