import { Client, credentials } from '@grpc/grpc-js';
import type { Mesh } from '#policy/workload-policy.ts';
import { identityOfDer } from '#policy/x509/leaf-identity.ts';
import { CONTROL_PLANE_SERVER_NAME } from '#proto/server-name.ts';
import { controlPlaneIdentity } from '../authority/control-plane-certificate.ts';
import type { ServerIdentity } from '../grpc/tls-listener.ts';

/** A replica that has not answered by then is silent. */
const ANSWER_TIMEOUT_MS = 2_000;
/** Replicas that are asked; a mesh has two or three. */
export const MAX_REPLICAS = 16;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const CHANNEL_OPTIONS = {
  'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
  'grpc.ssl_target_name_override': CONTROL_PLANE_SERVER_NAME,
  'grpc.enable_http_proxy': 0,
};

/** Who asks. */
export interface AskingReplica {
  readonly mesh: Mesh;
  /** What this control plane proves itself with, now. */
  readonly identity: () => ServerIdentity;
}

export interface ReplicaMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

/** Asks one other replica; both prove to be the control plane of the mesh. */
export function askReplica<Request, Response>(
  address: string,
  { path, requestSerialize, responseDeserialize }: ReplicaMethod<Request, Response>,
  request: Request,
  { mesh, identity }: AskingReplica,
): Promise<Response> {
  const { trustBundlePem, privateKeyPem, certificateChainPem } = identity();
  const tls = credentials.createSsl(
    Buffer.from(trustBundlePem),
    Buffer.from(privateKeyPem),
    Buffer.from(certificateChainPem),
    { checkServerIdentity: (_host, { raw }) => strangerError(raw, mesh) },
  );
  const client = new Client(address, tls, CHANNEL_OPTIONS);
  const options = { deadline: Date.now() + ANSWER_TIMEOUT_MS };
  return new Promise<Response>((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, (error, answer) => {
      if (answer !== undefined) resolve(answer);
      else reject(error ?? new Error('no answer'));
    });
  }).finally(() => client.close());
}

/** The chain was verified by the handshake; whose it is counts here, not under what name it is reached. */
function strangerError(certificate: Buffer, mesh: Mesh): Error | undefined {
  const result = identityOfDer(certificate);
  if (result.kind === 'identity' && result.id.uri === controlPlaneIdentity(mesh).uri) return undefined;
  return new Error('not a control plane of this mesh');
}
