import { probeGrpc } from './grpc-probe.ts';
import { type Asker, probeHttp } from './http-probe.ts';
import type { Probe } from './probe-schema.ts';
import { probeTcp } from './tcp-probe.ts';

/** A lifecycle hook has no timeout of its own; the kubelet gives up, which ends it here too, or this does. */
const MAX_HOOK_MS = 3_600_000;

/** What the kubelet is told. */
export interface ProbeOutcome {
  /** 200: it passed. Otherwise the app's own status where it gave one, or 503. */
  readonly status: number;
  readonly message: string;
  /** False: the app gave no answer at all. */
  readonly isAnswered: boolean;
}

/** Runs a probe against the app itself, in plaintext and past every policy, within its own timeout. Never rejects. */
export async function runProbe(
  probe: Probe,
  address: string,
  userAgent: string,
  callerGone: AbortSignal,
): Promise<ProbeOutcome> {
  const timeoutMs = isHook(probe) ? MAX_HOOK_MS : probe.timeoutSeconds * 1_000;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  const signal = AbortSignal.any([timeout.signal, callerGone]);
  try {
    return await ask(probe, { address, userAgent, signal });
  } catch (error) {
    const cause = signal.aborted ? signal.reason : error;
    return { status: 503, message: cause instanceof Error ? cause.message : String(cause), isAnswered: false };
  } finally {
    clearTimeout(timer);
  }
}

export function isHook({ kind }: Probe): boolean {
  return kind === 'postStart' || kind === 'preStop';
}

async function ask(probe: Probe, asker: Asker): Promise<ProbeOutcome> {
  if (probe.http !== undefined) return judged(await probeHttp(probe.http, asker));
  if (probe.tcp !== undefined) await probeTcp(asker.address, probe.tcp.port, asker.signal);
  if (probe.grpc !== undefined) await probeGrpc(probe.grpc, asker);
  return { status: 200, message: 'ok', isAnswered: true };
}

/** The kubelet's verdict: 200 to 399 is good. */
function judged(status: number): ProbeOutcome {
  if (status >= 200 && status < 400) return { status: 200, message: 'ok', isAnswered: true };
  return {
    status: status >= 400 && status <= 599 ? status : 503,
    message: `the app answered ${status}`,
    isAnswered: true,
  };
}
