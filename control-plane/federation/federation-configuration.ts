import { resolve } from 'node:path';
import { trustDomainComplaint } from '#policy/identity/spiffe-id.ts';
import { trustDomainName } from '#policy/resource/kinds/trust-bundle.ts';
import {
  choice,
  defaulted,
  type Infer,
  integer,
  list,
  object,
  optional,
  type Path,
  type ReadContext,
  refined,
  required,
  string,
} from '#policy/schema/schema.ts';
import { MAX_BUNDLE_BYTES, readSpiffeBundle } from '#policy/trust/spiffe-bundle.ts';

/** Other trust domains that a mesh federates with: each sidecar holds the roots of all. */
export const MAX_FEDERATED_DOMAINS = 64;
export const DEFAULT_BUNDLE_PORT = 15013;

/** SPIFFE-ID §2.2; of any form, since the server need not be a workload of a mesh (`/spire/server`). */
const SPIFFE_ID = /^spiffe:\/\/([^/]*)((?:\/[a-zA-Z0-9._-]+)+)$/;

const bundle = refined(
  object(
    {
      file: optional(string({ description: 'A path; watched.' })),
      inline: optional(
        string({ maxLength: MAX_BUNDLE_BYTES, check: bundleComplaint, description: 'The text itself.' }),
      ),
    },
    "The domain's bundle as you have it, a JWK set or PEM: what counts until its endpoint was asked, and again once you change it.",
  ),
  ({ file, inline }, path, context) => {
    if ((file === undefined) !== (inline === undefined)) return true;
    context.fail(path, 'invalid_value', 'expected exactly one of file and inline');
    return false;
  },
);

const endpoint = refined(
  object(
    {
      url: required(string({ maxLength: 2048, check: urlComplaint, description: 'https://…, asked again and again.' })),
      profile: required(
        choice(['https_web', 'https_spiffe'], {
          description:
            'How the server proves itself: by a certificate for its DNS name, or by an X509-SVID of a domain whose bundle is known.',
        }),
      ),
      spiffeId: optional(
        string({
          maxLength: 2048,
          check: spiffeIdComplaint,
          description: 'For https_spiffe: the identity of the server.',
        }),
      ),
      serverRoots: optional(string({ description: "For https_web: a file of roots, PEM, in place of the system's." })),
    },
    'The SPIFFE bundle endpoint of the domain.',
  ),
  ({ profile, spiffeId, serverRoots }, path, context) => {
    const isSpiffe = profile === 'https_spiffe';
    if (isSpiffe && spiffeId === undefined) context.fail(path, 'missing_field', 'missing field spiffeId');
    const stray = isSpiffe ? serverRoots && 'serverRoots' : spiffeId && 'spiffeId';
    if (stray)
      context.fail([...path, stray], 'invalid_value', `${stray} has no meaning for ${profile}; remove it`, 'key');
    return !stray && (!isSpiffe || spiffeId !== undefined);
  },
);

/** `federation` of ControlPlaneConfig. */
export const FEDERATION = list(
  refined(
    object({ trustDomain: required(trustDomainName), bundle: optional(bundle), endpoint: optional(endpoint) }),
    (one, path, context) => {
      if (one.bundle !== undefined || one.endpoint !== undefined) return true;
      context.fail(path, 'missing_field', 'neither bundle nor endpoint: nothing would say whom to trust');
      return false;
    },
  ),
  { maxItems: MAX_FEDERATED_DOMAINS },
);

/** `bundleEndpoint` of ControlPlaneConfig. */
export const BUNDLE_ENDPOINT = object(
  {
    port: defaulted(
      integer({ minimum: 0, maximum: 65535, description: 'HTTPS: GET / is the bundle. 0: any free port.' }),
      DEFAULT_BUNDLE_PORT,
    ),
    address: defaulted(string({ description: 'The address to bind.' }), '0.0.0.0'),
  },
  "The roots of this mesh, for others to federate with: a SPIFFE bundle endpoint, profile https_spiffe, whose identity is the control plane's.",
);

/** Where the bundle of one other trust domain is from; paths absolute. */
export interface FederatedDomainConfiguration {
  readonly trustDomain: string;
  readonly bundle: { readonly kind: 'file' | 'inline'; readonly value: string } | undefined;
  readonly endpoint: BundleEndpointConfiguration | undefined;
}

export type BundleEndpointConfiguration =
  | { readonly profile: 'https_spiffe'; readonly url: string; readonly spiffeId: string; readonly trustDomain: string }
  | { readonly profile: 'https_web'; readonly url: string; readonly serverRootsFile: string | undefined };

/** What the entries say together. `ownDomains`: the mesh's, and further names of it. */
export function isFederationSound(
  federation: Infer<typeof FEDERATION>,
  ownDomains: readonly string[],
  path: Path,
  context: ReadContext,
): boolean {
  let isSound = true;
  const fail = (at: Path, message: string) => {
    context.fail([...path, ...at], 'invalid_value', message);
    isSound = false;
  };
  for (const [index, { trustDomain, bundle: known, endpoint: asked }] of federation.entries()) {
    if (ownDomains.includes(trustDomain)) {
      fail([index, 'trustDomain'], `${trustDomain} is this mesh's own domain; another's roots must not vouch for it`);
    }
    if (federation.findIndex((other) => other.trustDomain === trustDomain) !== index) {
      fail([index, 'trustDomain'], `${trustDomain} is there twice`);
    }
    if (asked?.spiffeId === undefined) continue;
    const prover = domainOf(asked.spiffeId);
    if (ownDomains.includes(prover)) {
      fail([index, 'endpoint', 'spiffeId'], `${prover} is this mesh's own domain; a bundle of ours is given by file`);
    } else if (prover === trustDomain && known === undefined) {
      fail([index], 'https_spiffe needs a bundle to begin with; ask its operators for it, and name it in bundle');
    } else if (!federation.some((other) => other.trustDomain === prover)) {
      fail([index, 'endpoint', 'spiffeId'], `nothing here says whom to trust for ${prover}; add it to federation`);
    }
  }
  return isSound;
}

export function federationOf(
  federation: Infer<typeof FEDERATION>,
  base: string,
): readonly FederatedDomainConfiguration[] {
  return federation.map(({ trustDomain, bundle: known, endpoint: asked }) => ({
    trustDomain,
    bundle:
      known?.file !== undefined
        ? { kind: 'file', value: resolve(base, known.file) }
        : known?.inline !== undefined
          ? { kind: 'inline', value: known.inline }
          : undefined,
    endpoint: asked && endpointOf(asked, base),
  }));
}

function endpointOf({ url, spiffeId, serverRoots }: Infer<typeof endpoint>, base: string): BundleEndpointConfiguration {
  if (spiffeId !== undefined) return { profile: 'https_spiffe', url, spiffeId, trustDomain: domainOf(spiffeId) };
  return { profile: 'https_web', url, serverRootsFile: serverRoots && resolve(base, serverRoots) };
}

function domainOf(spiffeId: string): string {
  return SPIFFE_ID.exec(spiffeId)?.[1] ?? '';
}

function spiffeIdComplaint(value: string): string | undefined {
  const [, trustDomain = '', path = ''] = SPIFFE_ID.exec(value) ?? [];
  if (path === '' || path.split('/').some((segment) => segment === '.' || segment === '..')) {
    return `${JSON.stringify(value)} is not a SPIFFE ID, e.g. spiffe://partner.example/ns/lateral-system/sa/control-plane`;
  }
  const complaint = trustDomainComplaint(trustDomain);
  return complaint === undefined ? undefined : `${JSON.stringify(value)} ${complaint}`;
}

/** What is wrong with the URL of a bundle endpoint, or undefined. SPIFFE Federation §5.2.1.1, §5.2.2.1. */
export function urlComplaint(value: string): string | undefined {
  const url = URL.parse(value);
  if (url === null || url.protocol !== 'https:') return `${JSON.stringify(value)} is not an https:// URL`;
  return url.username === '' && url.password === '' ? undefined : 'the URL of a bundle endpoint holds no user name';
}

function bundleComplaint(value: string): string | undefined {
  try {
    readSpiffeBundle(value);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
