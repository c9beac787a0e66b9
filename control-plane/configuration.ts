import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { trustDomainComplaint } from '#policy/identity/spiffe-id.ts';
import type { Problem } from '#policy/problem.ts';
import { defaulted, type Infer, integer, object, optional, planned, required, string } from '#policy/schema/schema.ts';
import type { Mesh } from '#policy/workload-policy.ts';

export const DEFAULT_LISTEN_PORT = 15012;
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

/** `kind: ControlPlaneConfig`; paths are relative to the file. */
export const CONTROL_PLANE_CONFIGURATION = object({
  trustDomain: defaulted(trustDomain, 'cluster.local'),
  rootNamespace: defaulted(namespace, 'lateral-system'),
  listen: optional(
    object({
      port: defaulted(listenPort('gRPC over TLS.'), DEFAULT_LISTEN_PORT),
      address: defaulted(string({ description: 'The address to bind.' }), LOOPBACK),
    }),
  ),
  source: required(
    object({
      directory: required(string({ description: 'The folder of policies; watched.' })),
      kubernetes: planned('kubernetes'),
    }),
  ),
  authority: required(
    object({
      directory: required(
        string({
          description: "Keys and certificates of the authority, under Istio's file names; made at first start.",
        }),
      ),
      kubernetesSecret: planned('kubernetesSecret'),
    }),
  ),
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
});

/** The configuration in force, paths absolute. */
export interface ControlPlaneConfiguration {
  readonly mesh: Mesh;
  readonly listen: { readonly address: string; readonly port: number };
  readonly policyDirectory: string;
  readonly authorityDirectory: string;
  /** Beside the authority's directory: the last good set of resources. */
  readonly lastGoodFile: string;
  /** Absent: no tokens; sidecars must hold certificates already. */
  readonly tokenDirectory: string | undefined;
  /** Absent: no status server. */
  readonly statusPort: number | undefined;
  /** True when `inventory` is given, which this version does not use. */
  readonly hasUnusedInventory: boolean;
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
  const authorityDirectory = resolve(base, value.authority.directory);
  return {
    mesh: { trustDomain: value.trustDomain, rootNamespace: value.rootNamespace },
    listen: { address: value.listen?.address ?? LOOPBACK, port: value.listen?.port ?? DEFAULT_LISTEN_PORT },
    policyDirectory: resolve(base, value.source.directory),
    authorityDirectory,
    lastGoodFile: resolve(authorityDirectory, '..', 'last-good.json'),
    tokenDirectory: value.tokens === undefined ? undefined : resolve(base, value.tokens.directory),
    statusPort: value.console?.port,
    hasUnusedInventory: value.inventory !== undefined,
  };
}
