import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ProxyFacts } from '#control-plane/operations/proxy-facts.ts';
import { type ConnectedProxy, type KeptDecision, OperationsService } from '#proto/gen/lateral/v1/operations.ts';
import { type DecisionFacts, proxyState, readDecision } from './facts.ts';
import type { OperationsSource } from './operations-source.ts';
import type { ControlPlaneReach } from './reach-options.ts';

/** A control plane that does not answer by then is taken as away. */
const CALL_TIMEOUT_MS = 10_000;
/** Name of the root certificate in the authority's directory, as Istio has it. */
const ROOT_FILE = 'root-cert.pem';

type Method<Request, Response> = {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
};

/** Asks a control plane by gRPC: TLS 1.3, and the server must prove to be the control plane of the mesh. */
export async function openControlPlaneSource(reach: ControlPlaneReach): Promise<OperationsSource> {
  const { address, mesh } = reach;
  const token = (await fileText('--token-file', reach.tokenFile)).trim();
  if (!/^\S{1,512}$/.test(token)) {
    throw new Error(
      `--token-file: ${reach.tokenFile} holds no token; \`lateral token --config FILE --operator\` prints one`,
    );
  }
  const bundle = reach.trustBundle ?? join(dirname(reach.tokenFile), ROOT_FILE);
  const trustBundlePem = await fileText('--trust-bundle', bundle);
  const { bearing, callFailure, openControlConnection } = await import('#sidecar/control/control-endpoint.ts');
  const client = openControlConnection({ address, trustBundlePem, mesh }, undefined);
  const name = `control plane ${address}`;

  const call = <Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> =>
    new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = method;
      const options = { deadline: Date.now() + CALL_TIMEOUT_MS };
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        bearing(token),
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
    close: () => client.close(),
  };
}

async function fileText(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${option}: cannot read ${path} (${why}); docs/operating.md says how to get it`);
  }
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
    connectedAt: at(proxy.connectedAtMs),
    lastHeard: at(proxy.lastHeardMs),
  };
}

function decisionOf({ record, reporter, sidecar }: KeptDecision): DecisionFacts {
  return readDecision({ ...record, reporter, sidecar });
}
