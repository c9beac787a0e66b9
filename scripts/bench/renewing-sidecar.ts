import { generateKeyPair, randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client, type ClientDuplexStream, credentials, Metadata } from '@grpc/grpc-js';
import { CONTROL_PLANE_KINDS } from '../../policy/resource/known-kinds.ts';
import { createCertificateRequest } from '../../policy/x509/certificate-request.ts';
import { certificatesToPem } from '../../policy/x509/pem.ts';
import { UPDATE_WINDOW_BYTES } from '../../proto/discovery-limits.ts';
import { AuthorityService, type SignResponse } from '../../proto/gen/lateral/v1/authority.ts';
import {
  DiscoveryService,
  type SubscribeRequest,
  type SubscribeResponse,
  type Update,
} from '../../proto/gen/lateral/v1/discovery.ts';
import { Backoff } from '../../sidecar/control/backoff.ts';
import { openSuccessor } from '../../sidecar/control/open-successor.ts';

/** As a sidecar's. */
const HEARTBEAT_MS = 5_000;
const SUCCESSION_SPREAD_MS = 5_000;
const SIGN_TIMEOUT_MS = 30_000;
const LEAVE_TIMEOUT_MS = 1_000;
const OPEN_WAITS = 100;
const OPEN_WAIT_MS = 100;

const generateKey = promisify(generateKeyPair);

export interface SidecarKey {
  readonly chainPem: string;
  readonly keyPem: string;
}

export interface RenewingSidecarOptions {
  readonly address: string;
  readonly rootsPem: Buffer;
  readonly identity: string;
  readonly workload: { readonly name: string; readonly namespace: string; readonly serviceAccount: string };
  readonly first: SidecarKey;
  readonly onUpdate: (update: Update) => void;
}

type Stream = ClientDuplexStream<SubscribeRequest, SubscribeResponse>;

/** What a sidecar does towards its control plane, without what it is there for: it keeps keys and versions, and no policies. */
export class RenewingSidecar {
  readonly #options: RenewingSidecarOptions;
  readonly #never = new AbortController().signal;
  readonly #known = new Map<string, string>();
  readonly #backoff = new Backoff();
  #key: SidecarKey;
  #version = '';
  #stream: Stream | undefined;
  #client: Client | undefined;
  #successor: Client | undefined;
  /** Has had an update on the stream that is open. */
  #isConnected = false;
  #updated = Promise.withResolvers<void>();

  constructor(options: RenewingSidecarOptions) {
    this.#options = options;
    this.#key = options.first;
    setInterval(() => this.#stream?.write({ message: { $case: 'heartbeat', value: { sequence: 0 } } }), HEARTBEAT_MS);
  }

  /** Resolves once the first update is there; comes back by itself whenever the stream ends. */
  connect(): Promise<void> {
    void this.#run();
    return this.#updated.promise;
  }

  /** A new key and its certificate: over the connection that is open, else a new one, as often as it takes. Milliseconds that it took. */
  async renew(): Promise<number> {
    const beganMs = performance.now();
    const backoff = new Backoff();
    for (;;) {
      try {
        this.#key = await this.#sign();
        return performance.now() - beganMs;
      } catch {
        await wait(backoff.next());
      }
    }
  }

  /** Resolves once the stream is on a connection of the new certificate. */
  async succeed(): Promise<void> {
    this.#updated = Promise.withResolvers();
    const stream = this.#stream;
    if (stream !== undefined) {
      this.#successor = await openSuccessor(() => this.#open(), SUCCESSION_SPREAD_MS, this.#never);
      stream.end();
      setTimeout(() => stream.cancel(), LEAVE_TIMEOUT_MS);
    }
    await this.#updated.promise;
  }

  async #run(): Promise<void> {
    for (;;) {
      const successor = this.#successor;
      this.#successor = undefined;
      this.#client = successor ?? this.#open();
      await this.#subscribe(this.#client, successor !== undefined);
      this.#client.close();
      if (this.#successor === undefined) await wait(this.#backoff.next());
    }
  }

  async #sign(): Promise<SidecarKey> {
    const { publicKey, privateKey } = await generateKey('ec', { namedCurve: 'P-256' });
    const request = { csr: createCertificateRequest(publicKey, privateKey), expectedIdentity: this.#options.identity };
    // as a sidecar does, which waits for the connection that it opens anyway
    for (let waits = 0; !this.#isConnected && waits < OPEN_WAITS; waits += 1) await wait(OPEN_WAIT_MS);
    const open = this.#isConnected ? this.#client : undefined;
    const client = open ?? this.#open();
    try {
      const { path, requestSerialize, responseDeserialize } = AuthorityService.sign;
      const response = await new Promise<SignResponse>((resolve, reject) => {
        const deadline = Date.now() + SIGN_TIMEOUT_MS;
        const call = (error: Error | null, answer?: SignResponse) =>
          answer === undefined ? reject(error) : resolve(answer);
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new Metadata(),
          { deadline },
          call,
        );
      });
      return {
        chainPem: certificatesToPem(response.certificateChain),
        keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      };
    } finally {
      if (open === undefined) client.close();
    }
  }

  #open(): Client {
    const { address, rootsPem } = this.#options;
    const { keyPem, chainPem } = this.#key;
    const tls = credentials.createSsl(rootsPem, Buffer.from(keyPem), Buffer.from(chainPem), {
      checkServerIdentity: () => undefined,
    });
    return new Client(address, tls, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.ssl_target_name_override': 'control-plane',
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
      'grpc-node.flow_control_window': UPDATE_WINDOW_BYTES,
    });
  }

  /** Resolves once the stream has ended. */
  #subscribe(client: Client, isMoving: boolean): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = DiscoveryService.subscribe;
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    this.#stream = stream;
    stream.on('data', ({ message }: SubscribeResponse) => {
      if (message?.$case === 'update') this.#take(message.value, stream);
    });
    const known = isMoving ? [] : [...this.#known];
    stream.write({
      message: {
        $case: 'hello',
        value: {
          workload: { ...this.#options.workload, labels: {}, ports: [8080] },
          knownVersion: this.#version,
          knownResources: known.map(([key, version]) => ({ key, version })),
          sidecarVersion: `bench-${randomBytes(2).toString('hex')}`,
          controlPlaneKinds: Object.keys(CONTROL_PLANE_KINDS),
          takesParts: false,
          heldDocuments: [],
        },
      },
    });
    return new Promise((resolve) => {
      const ended = () => {
        this.#stream = undefined;
        this.#isConnected = false;
        resolve();
      };
      stream.once('error', ended);
      stream.once('end', ended);
      stream.on('error', () => {});
    });
  }

  #take(update: Update, stream: Stream): void {
    stream.write({ message: { $case: 'ack', value: { version: update.version } } });
    if (update.previousVersion === '') this.#known.clear();
    for (const key of update.removedKeys) this.#known.delete(key);
    for (const { key, version } of update.upserts) this.#known.set(key, version);
    this.#version = update.version;
    this.#isConnected = true;
    this.#backoff.reset();
    this.#updated.resolve();
    this.#options.onUpdate(update);
  }
}
