import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { trustDomainComplaint } from '#policy/identity/spiffe-id.ts';
import type { Problem } from '#policy/problem.ts';
import { meshDefaultsKind } from '#policy/resource/kinds/mesh-defaults.ts';
import { MAX_TRUST_DOMAIN_ALIASES, trustDomainName } from '#policy/resource/kinds/trust-bundle.ts';
import { dnsSubdomain } from '#policy/resource/names.ts';
import { duration } from '#policy/schema/duration.ts';
import {
  asWritten,
  boolean,
  defaulted,
  described,
  type Infer,
  integer,
  list,
  object,
  optional,
  type Path,
  type ReadContext,
  refined,
  required,
  type Schema,
  string,
} from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { CLOCK_SKEW_LIMITS, LEAF_LIFETIME_LIMITS } from './authority/authority.ts';
import type { KeyEncryption } from './authority/read-wrapping-key.ts';
import {
  BUNDLE_ENDPOINT,
  FEDERATION,
  type FederatedDomainConfiguration,
  federationOf,
  isFederationSound,
} from './federation/federation-configuration.ts';
import { type ListenOptions, MAX_CONNECTIONS, MAX_CONNECTIONS_OF_ADDRESS } from './grpc/grpc-gate.ts';
import { INJECTION_CONFIGURATION, type InjectionConfiguration } from './injection/injection-configuration.ts';

export const DEFAULT_LISTEN_PORT = 15012;
export const DEFAULT_METRICS_PORT = 15014;
export const DEFAULT_WEBHOOK_PORT = 9443;
export const DEFAULT_CLUSTER_DOMAIN = 'cluster.local';
export const DEFAULT_AUTHORITY_SECRET = 'lateral-ca';
const LOOPBACK = '127.0.0.1';

const listenPort = (description: string) =>
  integer({ minimum: 0, maximum: 65535, description: `${description} 0: any free port, named in the ready line.` });

const trustDomain = string({
  description: 'The trust domain of every identity this control plane signs.',
  check: (value) => {
    const complaint = trustDomainComplaint(value);
    return complaint === undefined ? undefined : `${JSON.stringify(value)} ${complaint}`;
  },
});

const namespace = string({
  description: 'The namespace of mesh-wide resources and of the control plane itself.',
  maxLength: 63,
  check: (value) =>
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(value) ? undefined : `${JSON.stringify(value)} is not a namespace name`,
});

/** An object of which exactly one of these fields must be there. */
function oneOf<T extends { readonly [name: string]: unknown }>(
  names: readonly (keyof T & string)[],
  schema: Schema<T>,
): Schema<T> {
  return refined(schema, (value: T, path: Path, context: ReadContext) => {
    if (names.filter((name) => value[name] !== undefined).length === 1) return true;
    context.fail(path, 'invalid_value', `expected exactly one of ${names.join(' and ')}`);
    return false;
  });
}

const FIELDS = object({
  trustDomain: defaulted(trustDomain, 'cluster.local'),
  trustDomainAliases: optional(
    described(
      list(trustDomainName, { maxItems: MAX_TRUST_DOMAIN_ALIASES }),
      'Other names of the trust domain: an identity of any of them counts as that of the own, as while it is renamed.',
    ),
  ),
  rootNamespace: defaulted(namespace, 'lateral-system'),
  listen: optional(
    object({
      port: defaulted(listenPort('gRPC over TLS.'), DEFAULT_LISTEN_PORT),
      address: defaulted(string({ description: 'The address to bind.' }), LOOPBACK),
      connectionsOfAddress: optional(
        integer({
          minimum: 1,
          maximum: MAX_CONNECTIONS,
          description: `Connections of one address; default ${MAX_CONNECTIONS_OF_ADDRESS}. More where many sidecars come by one gateway.`,
        }),
      ),
    }),
  ),
  source: required(
    oneOf(
      ['directory', 'kubernetes'],
      object({
        directory: optional(string({ description: 'The folder of policies; watched.' })),
        kubernetes: optional(
          object(
            {
              clusterDomain: defaulted(
                dnsSubdomain('Where the DNS names of Services end: NAME.NAMESPACE.svc.CLUSTER-DOMAIN.'),
                DEFAULT_CLUSTER_DOMAIN,
              ),
              status: optional(
                object(
                  {
                    istio: defaulted(
                      boolean("Istio's security resources: conditions `lateral.dev/…` beside those of others."),
                      true,
                    ),
                    routes: defaulted(
                      boolean(
                        'HTTPRoutes and GRPCRoutes of Services: entries of `lateral.dev/mesh` beside those of others.',
                      ),
                      true,
                    ),
                  },
                  'Into whose status it is written what is found of them, apart from the kinds of lateral.dev.',
                ),
              ),
            },
            'The API server of the cluster it runs in, or of KUBECONFIG.',
          ),
        ),
      }),
    ),
  ),
  authority: required(
    oneOf(
      ['directory', 'kubernetesSecret'],
      object({
        directory: optional(
          string({
            description: "Keys and certificates of the authority, under Istio's file names; made at first start.",
          }),
        ),
        kubernetesSecret: optional(
          object(
            {
              name: defaulted(
                dnsSubdomain('Name of the Secret, in the root namespace; it must be there, empty or not.'),
                DEFAULT_AUTHORITY_SECRET,
              ),
            },
            "The same files as keys of a Secret, or cert-manager's tls.crt, tls.key and ca.crt. Filled at first start.",
          ),
        ),
        leafLifetime: optional(
          duration({
            ...LEAF_LIFETIME_LIMITS,
            description: "How long a workload's certificate is valid; it is renewed at half of it; default 24h.",
          }),
        ),
        clockSkew: optional(
          duration({
            ...CLOCK_SKEW_LIMITS,
            description: 'How far back certificates are dated, for clocks that are behind; default 5m.',
          }),
        ),
        keyEncryption: optional(
          oneOf(
            ['keyFile', 'keyEnvironment'],
            object(
              {
                keyFile: optional(string({ description: 'A file of mode 0600 that holds the key.' })),
                keyEnvironment: optional(
                  string({
                    description: 'The environment variable that holds the key.',
                    check: (value) =>
                      /^[A-Za-z_][A-Za-z0-9_]*$/.test(value)
                        ? undefined
                        : `${JSON.stringify(value)} is not the name of an environment variable`,
                  }),
                ),
              },
              'The key (32 bytes as base64 or hex) by which private keys of our making are encrypted where they are kept. Further lines: keys that it took the place of, which read only.',
            ),
          ),
        ),
      }),
    ),
  ),
  meshDefaults: optional(asWritten(meshDefaultsKind.spec)),
  tokens: optional(
    object({ directory: required(string({ description: 'Join tokens, as `lateral token` issues them.' })) }),
  ),
  inventory: optional(
    object({
      sqlite: optional(string({ description: 'Accepted, and not used in this version.' })),
      postgres: optional(string({ description: 'Accepted, and not used in this version.' })),
    }),
  ),
  console: optional(
    object({ port: required(listenPort('Status on loopback: /livez, /readyz, /metrics, /proxies, /decisions.')) }),
  ),
  metrics: optional(
    object({
      port: defaulted(
        listenPort('/metrics, /livez and /readyz, for Prometheus and the kubelet.'),
        DEFAULT_METRICS_PORT,
      ),
      address: defaulted(string({ description: 'The address to bind.' }), '0.0.0.0'),
    }),
  ),
  webhook: optional(
    object({
      port: defaulted(
        listenPort('HTTPS of the webhooks, /inject and /validate; needs injection.'),
        DEFAULT_WEBHOOK_PORT,
      ),
      address: optional(string({ description: 'The address to bind; default: all, of IPv4 and IPv6.' })),
    }),
  ),
  injection: optional(INJECTION_CONFIGURATION),
  federation: optional(FEDERATION),
  bundleEndpoint: optional(BUNDLE_ENDPOINT),
});

/** `kind: ControlPlaneConfig`; paths are relative to the file. */
export const CONTROL_PLANE_CONFIGURATION = refined(FIELDS, (value, path, context) => {
  const ownDomains = [value.trustDomain, ...(value.trustDomainAliases ?? [])];
  return isFederationSound(value.federation ?? [], ownDomains, [...path, 'federation'], context);
});

/** Where resources come from. */
export type SourceConfiguration =
  | {
      readonly kind: 'directory';
      readonly directory: string;
      /** Beside the authority's directory, or the folder: the last good set of resources. */
      readonly lastGoodFile: string;
    }
  | {
      readonly kind: 'kubernetes';
      readonly clusterDomain: string;
      /** Groups whose objects are told in their status what is found of them; default: all. */
      readonly statusGroups?: readonly string[];
    };

/** Where the authority's keys and certificates are. */
export type AuthorityConfiguration = (
  | { readonly kind: 'directory'; readonly directory: string }
  | { readonly kind: 'kubernetesSecret'; readonly name: string }
) &
  AuthorityUse;

/** How an authority uses and keeps its keys. */
export interface AuthorityUse {
  /** By what private keys are encrypted where they are kept; absent: they are not. */
  readonly keyEncryption?: KeyEncryption;
  /** Default LEAF_LIFETIME_MS. */
  readonly leafLifetimeMs?: number;
  /** Default CLOCK_SKEW_MS. */
  readonly clockSkewMs?: number;
}

/** The configuration in force, paths absolute. */
export interface ControlPlaneConfiguration {
  readonly mesh: Mesh;
  /** Other names of the trust domain. */
  readonly trustDomainAliases?: readonly string[];
  readonly listen: ListenOptions;
  readonly source: SourceConfiguration;
  readonly authority: AuthorityConfiguration;
  /** Spec of MeshDefaults in Kubernetes, as long as no resource of that kind is in force. */
  /** Spec of MeshDefaults, as it is written. */
  readonly meshDefaults: unknown;
  /** Absent: no join tokens; sidecars must hold certificates already, or tokens of Kubernetes. */
  readonly tokenDirectory: string | undefined;
  /** Absent: no status server on loopback. */
  readonly statusPort: number | undefined;
  /** Absent: no metrics server. */
  readonly metrics: { readonly address: string; readonly port: number } | undefined;
  /** Absent: no webhooks. */
  readonly webhook: { readonly address: string | undefined; readonly port: number } | undefined;
  /** How pods are made part of the mesh; absent: they are not. */
  readonly injection: InjectionConfiguration | undefined;
  /** True when `inventory` is given, which this version does not use. */
  readonly hasUnusedInventory: boolean;
  /** Other trust domains whose identities are believed; absent: none. */
  readonly federation?: readonly FederatedDomainConfiguration[];
  /** Where others fetch the roots of this mesh; absent: nowhere. */
  readonly bundleEndpoint?: { readonly address: string; readonly port: number };
}

export interface ControlPlaneConfigurationReading {
  /** Undefined where any problem is an error. */
  readonly configuration: ControlPlaneConfiguration | undefined;
  readonly problems: readonly Problem[];
}

/** Reads `--config FILE`; throws when the file cannot be read. */
export async function readControlPlaneConfiguration(path: string): Promise<ControlPlaneConfigurationReading> {
  const text = await readFile(path, 'utf8');
  const { value, problems } = readConfiguration({ path, text }, 'ControlPlaneConfig', CONTROL_PLANE_CONFIGURATION);
  if (value === undefined) return { configuration: undefined, problems };
  return { configuration: configurationOf(value, dirname(resolve(path))), problems };
}

function configurationOf(value: Infer<typeof CONTROL_PLANE_CONFIGURATION>, base: string): ControlPlaneConfiguration {
  const authority = authorityOf(value, base);
  const connectionsOfAddress = value.listen?.connectionsOfAddress;
  const { trustDomainAliases } = value;
  return {
    mesh: meshOf(value),
    ...(trustDomainAliases === undefined ? {} : { trustDomainAliases }),
    listen: {
      address: value.listen?.address ?? LOOPBACK,
      port: value.listen?.port ?? DEFAULT_LISTEN_PORT,
      ...(connectionsOfAddress === undefined ? {} : { connectionsOfAddress }),
    },
    source: sourceOf(value, authority, base),
    authority,
    meshDefaults: value.meshDefaults,
    tokenDirectory: value.tokens === undefined ? undefined : resolve(base, value.tokens.directory),
    statusPort: value.console?.port,
    metrics: value.metrics,
    webhook: value.webhook,
    injection: value.injection,
    hasUnusedInventory: value.inventory !== undefined,
    ...(value.federation === undefined ? {} : { federation: federationOf(value.federation, base) }),
    ...(value.bundleEndpoint === undefined ? {} : { bundleEndpoint: value.bundleEndpoint }),
  };
}

function meshOf(value: Infer<typeof CONTROL_PLANE_CONFIGURATION>): Mesh {
  const { trustDomain, rootNamespace, trustDomainAliases = [], federation = [] } = value;
  const otherDomains = [...trustDomainAliases, ...federation.map((other) => other.trustDomain)];
  return { trustDomain, rootNamespace, ...(otherDomains.length === 0 ? {} : { otherDomains }) };
}

function authorityOf({ authority }: Infer<typeof CONTROL_PLANE_CONFIGURATION>, base: string): AuthorityConfiguration {
  const { directory, kubernetesSecret, leafLifetime, clockSkew, keyEncryption } = authority;
  const use: AuthorityUse = {
    ...(leafLifetime === undefined ? {} : { leafLifetimeMs: leafLifetime }),
    ...(clockSkew === undefined ? {} : { clockSkewMs: clockSkew }),
    ...(keyEncryption === undefined ? {} : { keyEncryption: keyEncryptionOf(keyEncryption, base) }),
  };
  if (directory !== undefined) return { kind: 'directory', directory: resolve(base, directory), ...use };
  return { kind: 'kubernetesSecret', name: kubernetesSecret?.name ?? DEFAULT_AUTHORITY_SECRET, ...use };
}

function keyEncryptionOf(
  { keyFile, keyEnvironment }: { readonly keyFile?: string | undefined; readonly keyEnvironment?: string | undefined },
  base: string,
): KeyEncryption {
  if (keyFile !== undefined) return { kind: 'file', path: resolve(base, keyFile) };
  return { kind: 'environment', name: keyEnvironment ?? '' };
}

function sourceOf(
  { source }: Infer<typeof CONTROL_PLANE_CONFIGURATION>,
  authority: AuthorityConfiguration,
  base: string,
): SourceConfiguration {
  const { directory, kubernetes } = source;
  if (directory === undefined) {
    const { clusterDomain = DEFAULT_CLUSTER_DOMAIN, status } = kubernetes ?? {};
    const statusGroups = [
      'lateral.dev',
      ...(status?.istio === false ? [] : ['security.istio.io']),
      ...(status?.routes === false ? [] : ['gateway.networking.k8s.io']),
    ];
    return { kind: 'kubernetes', clusterDomain, statusGroups };
  }
  const folder = resolve(base, directory);
  const beside = authority.kind === 'directory' ? authority.directory : folder;
  return { kind: 'directory', directory: folder, lastGoodFile: resolve(beside, '..', 'last-good.json') };
}
