import type { ProxyFacts, ProxyState } from '#control-plane/operations/proxy-facts.ts';
import type { CertificateFacts, PlaintextCallerFacts, PlaintextFacts } from '#control-plane/operations/vitals-facts.ts';
import { isRecord } from '#policy/schema/schema.ts';

/** A connected sidecar, and where that was learnt. */
export interface KnownProxy extends ProxyFacts {
  /** The replica of the control plane that said so; undefined: there is one. */
  readonly replica: string | undefined;
}

/** Where the policies of a control plane come from, and how the last reading of them went. */
export interface SourceFacts {
  readonly version: string;
  readonly resources: number;
  readonly isInForce: boolean;
  readonly problems: readonly string[];
}

export interface ProxyList {
  /** Undefined: a sidecar was asked, which knows of none. */
  readonly source: SourceFacts | undefined;
  readonly proxies: readonly ProxyFacts[];
}

/** A decision that refused, or would have; texts are empty where there is nothing to say. */
export interface DecisionFacts {
  readonly decisionId: string;
  readonly timeMs: number;
  readonly direction: string;
  readonly decision: string;
  readonly code: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly status: number;
  readonly source: string;
  readonly destination: string;
  readonly policy: string;
  /** -1: none. */
  readonly rule: number;
  readonly reason: string;
  readonly traceId: string;
  /** SPIFFE ID of the workload whose sidecar decided, and its name. */
  readonly reporter: string;
  readonly sidecar: string;
}

/** Reads the page /proxies of a control plane. Throws where it is not that. */
export function readProxiesPage(page: unknown): ProxyList {
  const { source, proxies } = recordOf(page);
  const { version, resourceCount, lastApply } = recordOf(source);
  const { isInForce, problems } = recordOf(lastApply);
  return {
    source: {
      version: textOf(version),
      resources: numberOf(resourceCount),
      isInForce: isInForce === true,
      problems: listOf(problems).map(textOf),
    },
    proxies: listOf(proxies).map(readProxy),
  };
}

/** Reads the page /decisions of a control plane or a sidecar; latest last. Throws where it is not that. */
export function readDecisionsPage(page: unknown): DecisionFacts[] {
  return listOf(recordOf(page).decisions).map(readDecision);
}

export function readDecision(value: unknown): DecisionFacts {
  const record = recordOf(value);
  return {
    decisionId: textOf(record.decisionId),
    timeMs: numberOf(record.timeMs),
    direction: textOf(record.direction),
    decision: textOf(record.decision),
    code: textOf(record.code),
    method: textOf(record.method),
    host: textOf(record.host),
    path: textOf(record.path),
    status: numberOf(record.status),
    source: textOf(record.source),
    destination: textOf(record.destination),
    policy: textOf(record.policy),
    rule: numberOf(record.rule),
    reason: textOf(record.reason),
    traceId: textOf(record.traceId),
    reporter: textOf(record.reporter ?? ''),
    sidecar: textOf(record.sidecar ?? ''),
  };
}

function readProxy(value: unknown): ProxyFacts {
  const record = recordOf(value);
  const workload = recordOf(record.workload);
  const { refused } = record;
  return {
    identity: textOf(record.identity),
    workload: {
      name: textOf(workload.name),
      namespace: textOf(workload.namespace),
      serviceAccount: textOf(workload.serviceAccount),
    },
    sidecarVersion: textOf(record.sidecarVersion),
    peer: textOf(record.peer),
    state: proxyState(record.state),
    inForceVersion: textOf(record.inForceVersion),
    pendingVersion: record.pendingVersion === null ? null : textOf(record.pendingVersion),
    refused: refused === null ? null : readRefused(refused),
    certificate: isRecord(record.certificate) ? readCertificate(record.certificate) : null,
    plaintext: isRecord(record.plaintext) ? readPlaintext(record.plaintext) : null,
    connectedAt: textOf(record.connectedAt),
    lastHeard: textOf(record.lastHeard),
  };
}

export function readCertificate(record: { readonly [field: string]: unknown }): CertificateFacts {
  const { failure } = record;
  return {
    expiresAt: textOf(record.expiresAt),
    serial: textOf(record.serial),
    lastRenewalAt: record.lastRenewalAt === null ? null : textOf(record.lastRenewalAt),
    renewalFailures: numberOf(record.renewalFailures),
    failure: failure === null ? null : readFailure(failure),
    trustedRoots: listOf(record.trustedRoots).map(textOf),
  };
}

function readFailure(value: unknown): NonNullable<CertificateFacts['failure']> {
  const { code, reason, at } = recordOf(value);
  return { code: textOf(code), reason: textOf(reason), at: textOf(at) };
}

export function readPlaintext({ callers, since }: { readonly [field: string]: unknown }): PlaintextFacts {
  return { callers: listOf(callers).map(readPlaintextCaller), since: since === null ? null : textOf(since) };
}

function readPlaintextCaller(value: unknown): PlaintextCallerFacts {
  const { address, port, connections, requests, lastSeen, owner } = recordOf(value);
  return {
    address: textOf(address),
    port: numberOf(port),
    connections: numberOf(connections),
    requests: numberOf(requests),
    lastSeen: textOf(lastSeen),
    owner: isRecord(owner) ? readOwner(owner) : null,
  };
}

function readOwner({ namespace, name, serviceAccount }: { readonly [field: string]: unknown }) {
  return { namespace: textOf(namespace), name: textOf(name), serviceAccount: textOf(serviceAccount) };
}

function readRefused(value: unknown): NonNullable<ProxyFacts['refused']> {
  const { version, reasons, at } = recordOf(value);
  return { version: textOf(version), reasons: listOf(reasons).map(textOf), at: textOf(at) };
}

export function proxyState(value: unknown): ProxyState {
  if (value === 'current' || value === 'pending' || value === 'refused') return value;
  throw foreign(value);
}

export function recordOf(value: unknown): { readonly [field: string]: unknown } {
  if (isRecord(value)) return value;
  throw foreign(value);
}

export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw foreign(value);
}

export function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw foreign(value);
}

export function numberOf(value: unknown): number {
  if (typeof value === 'number') return value;
  throw foreign(value);
}

function foreign(value: unknown): Error {
  const shown = JSON.stringify(value)?.slice(0, 60);
  return new Error(`what answered is not what was expected (${shown}): is it another program, or another version?`);
}
