import type { ChildProcess } from 'node:child_process';
import type { Processes } from '../processes.ts';

export const RULES = 10;
/** What each rule allows: calls of gRPC and uploads are POST. */
export const METHODS = ['GET', 'POST'];

/** Path of a rule, without its end: only the last of the ten matches. */
export function ruledPath(index: number): string {
  return index === RULES - 1 ? '/' : `/none${index}/`;
}

/** Two proxies with mutual TLS between them, before the app; `direct` has none: its port is the app's. */
export interface Pair {
  readonly name: string;
  /** Where the load goes, in plaintext. */
  readonly port: number;
  /** Where the callee's proxy takes mutual TLS. */
  readonly inboundPort: number | undefined;
  readonly client: ChildProcess | undefined;
  readonly server: ChildProcess | undefined;
}

/** What every pair of a measure is given. */
export interface Ground {
  readonly processes: Processes;
  /** Its own, for configurations and logs. */
  readonly directory: string;
  /** Has ca.pem, client.pem, client.key, server.pem, server.key. */
  readonly certificates: string;
  readonly appPort: number;
  /** `grpc`: h2c from the caller and to the app. */
  readonly protocol: 'http' | 'grpc';
  /** Takes OTLP over gRPC. */
  readonly sinkPort: number;
}
