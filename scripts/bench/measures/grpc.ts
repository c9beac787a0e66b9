import { REQUEST_COLUMNS, REQUEST_COMPARISONS, withMemory } from './http.ts';
import { loadWith, type Measure, warmSeconds, withCpu } from './measure.ts';

/** Calls in flight, and the client connections that they share. */
const LOADS = [
  { streams: 32, connections: 1 },
  { streams: 32, connections: 4 },
  { streams: 128, connections: 1 },
  { streams: 128, connections: 4 },
] as const;

/** Small unary calls: h2c from the caller, mutual TLS and HTTP/2 between the proxies, h2c to the app. */
export const grpc: Measure = {
  name: 'grpc',
  title: 'grpc: unary calls, closed loop',
  app: 'grpc',
  protocol: 'grpc',
  isInboundOnly: false,
  needsLoader: true,
  columns: REQUEST_COLUMNS,
  comparisons: REQUEST_COMPARISONS,
  cases: ({ seconds }) =>
    LOADS.map(({ streams, connections }) => ({
      title: grpcTitle(streams, connections),
      run: async (pair, tools) => {
        const load = () => loadWith(tools, 'grpc-load', { port: pair.port, streams, connections, seconds });
        return withMemory(pair, await withCpu(pair, 'requests', load));
      },
    })),
  warm: (pair, tools) =>
    loadWith(tools, 'grpc-load', { port: pair.port, streams: 32, connections: 2, seconds: warmSeconds(tools.options) }),
};

export function grpcTitle(streams: number, connections: number): string {
  return `${streams} streams on ${connections}`;
}
