import { eventually } from '../control-plane/control-plane-fixture.ts';
import type { MeshSidecar } from './mesh-processes.ts';

export interface RefusedConnection {
  readonly code: string;
  readonly reason: string;
}

/** What the access log says of connections that were closed before a request; resolves once there are `count`. */
export async function refusedConnections(sidecar: MeshSidecar, count: number): Promise<RefusedConnection[]> {
  let refused: RefusedConnection[] = [];
  await eventually(`${count} refused connections are in the log`, async () => {
    refused = (await sidecar.log())
      .filter(({ direction, decision, method }) => direction === 'inbound' && decision === 'deny' && method === null)
      .map(({ code, reason }) => ({ code: String(code), reason: String(reason) }));
    return refused.length >= count;
  });
  return refused;
}
