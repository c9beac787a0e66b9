import type { ClusterServicePort } from './cluster-objects.ts';

export type PortProtocol = 'http' | 'grpc' | 'tcp' | 'auto';

/** What is spoken on a port that is declared so. TLS of the app's own passes as TCP. Source: Istio, protocol selection. */
const DECLARED: ReadonlyMap<string, PortProtocol> = new Map(
  Object.entries({
    http: 'http',
    http2: 'http',
    'grpc-web': 'http',
    'kubernetes.io/h2c': 'http',
    'kubernetes.io/ws': 'http',
    grpc: 'grpc',
    tcp: 'tcp',
    tls: 'tcp',
    https: 'tcp',
    'kubernetes.io/wss': 'tcp',
    mongo: 'tcp',
    mysql: 'tcp',
    redis: 'tcp',
  } as const),
);

/** By `appProtocol`, then by the name up to its first dash (`http-api`), else what its connections turn out to speak. */
export function portProtocol({ appProtocol, name }: Pick<ClusterServicePort, 'appProtocol' | 'name'>): PortProtocol {
  const declared = DECLARED.get(appProtocol.toLowerCase());
  if (declared !== undefined) return declared;
  if (name === 'grpc-web' || name.startsWith('grpc-web-')) return 'http';
  return DECLARED.get(name.split('-', 1)[0] ?? '') ?? 'auto';
}
