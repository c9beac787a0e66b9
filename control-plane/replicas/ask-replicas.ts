import { X509Certificate } from 'node:crypto';
import { Client, credentials } from '@grpc/grpc-js';
import type { Mesh } from '#policy/workload-policy.ts';
import { identityOfLeaf } from '#policy/x509/peer-identity.ts';
import { type ListProgrammedResponse, ReplicasService } from '#proto/gen/lateral/v1/replicas.ts';
import { CONTROL_PLANE_SERVER_NAME } from '#proto/server-name.ts';
import { controlPlaneIdentity } from '../authority/control-plane-certificate.ts';
import type { EventLog } from '../event-log.ts';
import type { ServerIdentity } from '../grpc/tls-listener.ts';
import type { ProgrammedCount } from './programmed-counts.ts';

/** A replica that has not answered by then is left out of this pass. */
const ANSWER_TIMEOUT_MS = 2_000;
/** Replicas that are asked; a mesh has two or three. */
const MAX_REPLICAS = 16;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  'grpc.ssl_target_name_override': CONTROL_PLANE_SERVER_NAME,
  'grpc.enable_http_proxy': 0,
};

export interface AskReplicasOptions {
  readonly mesh: Mesh;
  /** What this control plane proves itself with, now. */
  readonly identity: () => ServerIdentity;
  /** `HOST:PORT` of every other replica, now. */
  readonly addresses: () => readonly string[];
  readonly log: EventLog;
}

/** Asks all other replicas what their sidecars have in force; one that does not answer counts nothing. */
export function askReplicas(
  options: AskReplicasOptions,
): (services: readonly string[]) => Promise<readonly ProgrammedCount[]> {
  const { addresses, log } = options;
  const silent = new Set<string>();
  return async (services) => {
    const answers = await Promise.all(
      addresses()
        .slice(0, MAX_REPLICAS)
        .map(async (address) => {
          try {
            const { programmed } = await ask(address, services, options);
            silent.delete(address);
            return programmed;
          } catch (error) {
            if (!silent.has(address)) log('replica_silent', { replica: address, error: String(error) });
            silent.add(address);
            return [];
          }
        }),
    );
    for (const address of silent) if (!addresses().includes(address)) silent.delete(address);
    return answers.flat();
  };
}

function ask(
  address: string,
  services: readonly string[],
  { mesh, identity }: AskReplicasOptions,
): Promise<ListProgrammedResponse> {
  const { trustBundlePem, privateKeyPem, certificateChainPem } = identity();
  const tls = credentials.createSsl(
    Buffer.from(trustBundlePem),
    Buffer.from(privateKeyPem),
    Buffer.from(certificateChainPem),
    { checkServerIdentity: (_host, { raw }) => strangerError(raw, mesh) },
  );
  const client = new Client(address, tls, CHANNEL_OPTIONS);
  const { path, requestSerialize, responseDeserialize } = ReplicasService.listProgrammed;
  return new Promise<ListProgrammedResponse>((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { services: [...services] },
      { deadline: Date.now() + ANSWER_TIMEOUT_MS },
      (error, answer) => {
        if (answer !== undefined) resolve(answer);
        else reject(error ?? new Error('no answer'));
      },
    );
  }).finally(() => client.close());
}

/** The chain was verified by the handshake; whose it is counts here, not under what name it is reached. */
function strangerError(certificate: Buffer, mesh: Mesh): Error | undefined {
  const result = identityOfLeaf(new X509Certificate(certificate));
  if (result.kind === 'valid' && result.id.uri === controlPlaneIdentity(mesh).uri) return undefined;
  return new Error('not a control plane of this mesh');
}
