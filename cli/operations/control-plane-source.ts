import type { ProxyFacts } from '#control-plane/operations/proxy-facts.ts';
import { certificateFactsOf, plaintextFactsOf } from '#control-plane/operations/vitals-facts.ts';
import { type ConnectedProxy, type KeptDecision, OperationsService } from '#proto/gen/lateral/v1/operations.ts';
import { connectAsOperator } from './connect-as-operator.ts';
import { type DecisionFacts, proxyState, readDecision } from './facts.ts';
import type { OperationsSource } from './operations-source.ts';
import type { ControlPlaneReach } from './reach-options.ts';
import { readRulesPage } from './rule-facts.ts';

/** A control plane that does not answer by then is taken as away. */
const CALL_TIMEOUT_MS = 10_000;

type Method<Request, Response> = {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
};

/** Asks a control plane by gRPC. */
export async function openControlPlaneSource(reach: ControlPlaneReach): Promise<OperationsSource> {
  const { client, metadata, callFailure } = await connectAsOperator(reach);
  const name = `control plane ${reach.address}`;

  const call = <Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> =>
    new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = method;
      const options = { deadline: Date.now() + CALL_TIMEOUT_MS };
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
        (error, answer) => {
          if (error !== null || answer === undefined) reject(new Error(callFailure(error)));
          else resolve(answer);
        },
      );
    });

  return {
    name,
    async proxies() {
      const { source, proxies } = await call(OperationsService.listProxies, { namespace: '' });
      return { source, proxies: proxies.map(factsOf) };
    },
    async decision(decisionId) {
      const { decision } = await call(OperationsService.getDecision, { decisionId });
      return decision === undefined ? undefined : decisionOf(decision);
    },
    async decisions(code, limit) {
      const { decisions } = await call(OperationsService.listDecisions, { code, limit });
      return decisions.map(decisionOf);
    },
    async rules() {
      const { facts } = await call(OperationsService.listRules, {});
      return readRulesPage(JSON.parse(facts));
    },
    close: () => client.close(),
  };
}

function factsOf(proxy: ConnectedProxy): ProxyFacts {
  const at = (ms: number) => new Date(ms).toISOString();
  const { name, namespace, serviceAccount, refusedVersion, refusedReasons } = proxy;
  return {
    identity: proxy.identity,
    workload: { name, namespace, serviceAccount },
    sidecarVersion: proxy.sidecarVersion,
    peer: proxy.peer,
    state: proxyState(proxy.state),
    inForceVersion: proxy.inForceVersion,
    pendingVersion: proxy.pendingVersion === '' ? null : proxy.pendingVersion,
    refused:
      refusedVersion === '' ? null : { version: refusedVersion, reasons: refusedReasons, at: at(proxy.refusedAtMs) },
    certificate: certificateFactsOf(proxy.vitals),
    plaintext: plaintextFactsOf(proxy.vitals),
    connectedAt: at(proxy.connectedAtMs),
    lastHeard: at(proxy.lastHeardMs),
  };
}

function decisionOf({ record, reporter, sidecar }: KeptDecision): DecisionFacts {
  return readDecision({ ...record, reporter, sidecar });
}
