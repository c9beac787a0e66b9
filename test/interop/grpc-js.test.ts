import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import type { GrpcPair } from '../support/grpc-pair.ts';
import { startGrpcPeers } from '../support/grpc-peers.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

const SERVICE = '/grpc.testing.TestService';
const MIB = 2 ** 20;

const DENY_UNARY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: test}
spec: {rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-unary, namespace: test}
spec: {action: DENY, rules: [{to: [{operation: {paths: ["*/UnaryCall"]}}]}]}
`;

const tools = await goTools(t, 'grpc');
if (tools !== undefined) {
  t.test('a unary call of grpc-js carries metadata and trailers both ways', async (t) => {
    const { pair } = await startGrpcPeers(t, tools.grpc);
    const metadata = new Metadata();
    metadata.set('x-grpc-test-echo-initial', 'initial value');
    metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from([0, 255, 10, 13, 0xab]));
    const answer = await unary(connect(t, pair), MIB, metadata);
    t.equal(answer.payload.length, MIB);
    t.strictSame(answer.headers?.get('x-grpc-test-echo-initial'), ['initial value']);
    t.strictSame(answer.trailers?.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0, 255, 10, 13, 0xab])]);
  });

  t.test('a stream of grpc-js passes 16 MiB both ways', async (t) => {
    const { pair } = await startGrpcPeers(t, tools.grpc);
    const stream = duplex(connect(t, pair), 'echo', 'grpc-js-echo');
    const messages = Array.from({ length: 16 }, (_, number) => Buffer.alloc(MIB, `message ${number} `));
    const received: Buffer[] = [];
    const ended = new Promise((resolve, reject) => {
      stream.on('data', (message) => received.push(message));
      stream.on('error', reject).on('end', resolve);
    });
    for (const message of messages) stream.write(message);
    stream.end();
    await ended;
    t.equal(received.length, messages.length);
    t.ok(
      received.every((message, number) => message.equals(messages[number] ?? Buffer.alloc(0))),
      'unchanged',
    );
  });

  t.test('a cancellation by grpc-js reaches the handler', async (t) => {
    const { pair, server } = await startGrpcPeers(t, tools.grpc);
    const stream = duplex(connect(t, pair), 'hang', 'grpc-js-cancel');
    const failed = new Promise<ServiceError>((resolve) => stream.on('error', resolve));
    await server.told({ event: 'began', call: 'grpc-js-cancel' });
    stream.cancel();
    t.equal((await failed).code, status.CANCELLED);
    t.match(await server.told({ event: 'ended', call: 'grpc-js-cancel' }), { error: 'context canceled' });
  });

  t.test('grpc-js sees a refusal of the sidecar as PERMISSION_DENIED', async (t) => {
    const { pair } = await startGrpcPeers(t, tools.grpc, DENY_UNARY);
    const error = await unary(connect(t, pair), 1, new Metadata()).catch((error: unknown) => error);
    t.match(error, { code: status.PERMISSION_DENIED, details: /\w/ });
  });
}

function connect(t: Test, { address, authority }: GrpcPair): Client {
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.default_authority': authority,
    'grpc.max_receive_message_length': -1,
  });
  t.teardown(() => client.close());
  return client;
}

interface UnaryAnswer {
  readonly payload: Buffer;
  readonly headers: Metadata | undefined;
  readonly trailers: Metadata | undefined;
}

function unary(client: Client, responseBytes: number, metadata: Metadata): Promise<UnaryAnswer> {
  return new Promise((resolve, reject) => {
    const request = Buffer.from(new BinaryWriter().tag(2, WireType.Varint).int32(responseBytes).finish());
    let headers: Metadata | undefined;
    let trailers: Metadata | undefined;
    let payload: Buffer | undefined;
    const call = client.makeUnaryRequest(
      `${SERVICE}/UnaryCall`,
      asItIs,
      payloadOf,
      request,
      metadata,
      (error, answer) => {
        if (error !== null) reject(error);
        payload = answer;
      },
    );
    call.on('metadata', (received) => {
      headers = received;
    });
    call.on('status', (received) => {
      trailers = received.metadata;
      // 'status' and the callback come in either order
      setImmediate(() => payload !== undefined && resolve({ payload, headers, trailers }));
    });
  });
}

/** Messages are payloads here. */
function duplex(client: Client, behaviour: string, call: string) {
  const metadata = new Metadata();
  metadata.set('x-behaviour', behaviour);
  metadata.set('x-call', call);
  return client.makeBidiStreamRequest(`${SERVICE}/FullDuplexCall`, requestWith, payloadOf, metadata);
}

function asItIs(message: Buffer): Buffer {
  return message;
}

/** grpc.testing.StreamingOutputCallRequest: `Payload payload = 3`, in which `bytes body = 2`. */
function requestWith(body: Buffer): Buffer {
  const payload = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(body).finish();
  return Buffer.from(new BinaryWriter().tag(3, WireType.LengthDelimited).bytes(payload).finish());
}

/** The body of a response's `Payload payload = 1`. */
function payloadOf(message: Buffer): Buffer {
  return fieldOf(fieldOf(message, 1), 2);
}

function fieldOf(message: Buffer, wanted: number): Buffer {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === WireType.LengthDelimited) return Buffer.from(reader.bytes());
    reader.skip(type, field);
  }
  return Buffer.alloc(0);
}
