import type { ControlPlaneCertificate } from '../authority/control-plane-certificate.ts';
import { issueControlPlaneCertificate, keepControlPlaneCertificate } from '../authority/control-plane-certificate.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
import { type ControlPlaneServerOptions, startControlPlaneServer } from '../grpc/control-plane-server.ts';
import type { ServerIdentity } from '../grpc/tls-listener.ts';
import type { Closer } from './closer.ts';

export interface RunningServer {
  readonly address: string;
  /** What it proves itself with, now. */
  readonly identity: () => ServerIdentity;
  /** Ends the connections of those who are revoked. */
  endRevoked(): void;
  /** Takes another certificate, by the authority as it is now. */
  renew(): void;
}

/** Serves gRPC under the control plane's own certificate, and keeps that fresh. */
export async function startServer(
  { listen, mesh }: ControlPlaneConfiguration,
  { heartbeatIntervalMs }: { readonly heartbeatIntervalMs?: number },
  services: Omit<ControlPlaneServerOptions, 'listen' | 'identity'>,
  closers: Closer[],
): Promise<RunningServer> {
  const { authority, log } = services;
  const certificate = issueControlPlaneCertificate(authority, mesh);
  let identity: ServerIdentity = { ...certificate, trustBundlePem: authority.trustBundlePem };
  const server = await startControlPlaneServer({
    ...services,
    listen,
    identity,
    ...(heartbeatIntervalMs === undefined ? {} : { heartbeatIntervalMs }),
  });
  closers.push(() => server.close());
  const renew = (): ControlPlaneCertificate => {
    const renewed = issueControlPlaneCertificate(authority, mesh);
    identity = { ...renewed, trustBundlePem: authority.trustBundlePem };
    server.renewIdentity(identity);
    return renewed;
  };
  closers.push(
    keepControlPlaneCertificate(certificate, renew, (error) => log('own_renewal_failed', { error: String(error) })),
  );
  return { address: server.address, identity: () => identity, endRevoked: () => server.endRevoked(), renew };
}
