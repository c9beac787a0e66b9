import { UsageError } from '../command.ts';
import { MESH_OPTIONS } from '../offline/mesh-options.ts';

/** Options that say whom an operator's command asks, for `parseArgs`. */
export const REACH_OPTIONS = {
  'control-plane': { type: 'string' },
  'token-file': { type: 'string' },
  'trust-bundle': { type: 'string' },
  'trust-domain': MESH_OPTIONS['trust-domain'],
  sidecar: { type: 'string' },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  namespace: { type: 'string', short: 'n', default: 'lateral-system' },
} as const;

export const REACH_HELP = `
Whom it asks, by what is given (without any: the cluster of the kubeconfig):

  --kubeconfig FILE       a cluster: the kubeconfig (default KUBECONFIG, then ~/.kube/config); it takes
                          your right to create pods/portforward, and no token
  --context NAME          a context of it (default: the current one)
  -n, --namespace NAME    namespace of the control plane (default lateral-system)
  --control-plane HOST:PORT
                          a control plane outside Kubernetes (or LATERAL_CONTROL_PLANE)
  --token-file FILE       the token that \`lateral token --operator\` printed (or LATERAL_TOKEN_FILE)
  --trust-bundle FILE     the root certificate by which the control plane is believed (or
                          LATERAL_TRUST_BUNDLE; default root-cert.pem beside the token file)
  --trust-domain NAME     trust domain of the mesh (default cluster.local)
  --sidecar PORT          one sidecar on this machine, by its admin port`;

/** The values of REACH_OPTIONS. */
export interface ReachValues {
  readonly 'control-plane'?: string | undefined;
  readonly 'token-file'?: string | undefined;
  readonly 'trust-bundle'?: string | undefined;
  readonly 'trust-domain': string;
  readonly sidecar?: string | undefined;
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly namespace: string;
}

/** Whom a command asks. */
export type Reach =
  | { readonly kind: 'control-plane'; readonly at: ControlPlaneReach }
  | { readonly kind: 'sidecar'; readonly port: number }
  | { readonly kind: 'cluster'; readonly at: ClusterReach };

export interface ControlPlaneReach {
  readonly address: string;
  readonly tokenFile: string;
  /** Undefined: beside the token file. */
  readonly trustBundle: string | undefined;
  readonly mesh: { readonly trustDomain: string; readonly rootNamespace: string };
}

export interface ClusterReach {
  /** Undefined: KUBECONFIG, then ~/.kube/config. */
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** Of the control plane. */
  readonly namespace: string;
}

/** Whom the options name; options come before the environment. Two of them at once are wrong usage. */
export function reachOf(values: ReachValues, environment: NodeJS.ProcessEnv): Reach {
  const { sidecar, kubeconfig, context, namespace } = values;
  const named = [
    ...(values['control-plane'] === undefined ? [] : ['--control-plane']),
    ...(sidecar === undefined ? [] : ['--sidecar']),
    ...(kubeconfig === undefined && context === undefined ? [] : ['--kubeconfig or --context']),
  ];
  if (named.length > 1) throw new UsageError(`${named.join(' and ')} name two places to ask; leave one out`);
  if (sidecar !== undefined) return { kind: 'sidecar', port: adminPort(sidecar) };
  const address = values['control-plane'] ?? (named.length === 0 ? environment.LATERAL_CONTROL_PLANE : undefined);
  if (address === undefined || address === '') return { kind: 'cluster', at: { kubeconfig, context, namespace } };
  const tokenFile = values['token-file'] ?? environment.LATERAL_TOKEN_FILE;
  if (tokenFile === undefined || tokenFile === '') {
    throw new UsageError(
      '--token-file FILE is missing (or LATERAL_TOKEN_FILE); on the machine of the control plane, `lateral token --config FILE --operator > FILE` makes one',
    );
  }
  const trustBundle = values['trust-bundle'] ?? environment.LATERAL_TRUST_BUNDLE;
  const mesh = { trustDomain: values['trust-domain'], rootNamespace: namespace };
  return { kind: 'control-plane', at: { address, tokenFile, trustBundle, mesh } };
}

function adminPort(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new UsageError(`--sidecar ${text} is not a port; give the admin port of the sidecar, e.g. 15000`);
}
