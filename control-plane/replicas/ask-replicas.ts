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

/** A replica that has not answered by then is silent. */
const ANSWER_TIMEOUT_MS = 2_000;
/** So long its last answer stands: a hiccup is no reason to write the status of every resource twice. */
export const ANSWER_KEPT_MS = 30_000;
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
  /** Default Date.now. */
  readonly now?: () => number;
}

/** What the other replicas have said of their sidecars. */
export interface ReplicaAnswers {
  readonly programmed: readonly ProgrammedCount[];
  /** Replicas whose sidecars are not in it. */
  readonly silent: number;
}

/** Asks all other replicas what their sidecars have in force; for one that is silent its last answer stands for a while. */
export function askReplicas(options: AskReplicasOptions): (services: readonly string[]) => Promise<ReplicaAnswers> {
  const { addresses, log, now = Date.now } = options;
  const silent = new Set<string>();
  const kept = new Map<string, { readonly programmed: readonly ProgrammedCount[]; readonly untilMs: number }>();
  return async (services) => {
    const asked = addresses().slice(0, MAX_REPLICAS);
    for (const address of [...silent, ...kept.keys()]) {
      if (asked.includes(address)) continue;
      silent.delete(address);
      kept.delete(address);
    }
    const answers = await Promise.all(
      asked.map(async (address) => {
        try {
          const { programmed } = await ask(address, services, options);
          silent.delete(address);
          kept.set(address, { programmed, untilMs: now() + ANSWER_KEPT_MS });
          return programmed;
        } catch (error) {
          if (!silent.has(address)) log('replica_silent', { replica: address, error: String(error) });
          silent.add(address);
          const last = kept.get(address);
          return last !== undefined && now() < last.untilMs ? last.programmed : undefined;
        }
      }),
    );
    const heard = answers.filter((programmed) => programmed !== undefined);
    return { programmed: heard.flat(), silent: answers.length - heard.length };
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
