import { setTimeout as sleep } from 'node:timers/promises';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { heldBytes } from '#sidecar/exchange/hold-body.ts';
import { type GrpcPair, startGrpcPair } from '../../support/grpc-pair.ts';
import { shopProto } from '../../support/shop-proto.ts';
import { ALLOW_ALL } from '../../support/sidecar-pair.ts';

const shop = await shopProto();
const GOOD = { id: 'a', items: [{ sku: 'ABC-1', quantity: 1 }] };
const order = (more: object = {}) => shop.encode('Order', { ...GOOD, ...more });

function policy(spec: string): string {
  return `${ALLOW_ALL}---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: shop, namespace: test}
spec: {protoDescriptorSet: {file: shop.binpb}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: shop, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  schemaRefs: [shop]
${spec}
`;
}

const ENFORCE = policy(
  '  mode: Enforce\n  response: {body: Enforce}\n  grpc: {methods: [shop.v1.Orders/Place, shop.v1.Orders/PlaceAll, shop.v1.Orders/Watch, shop.v1.Orders/Talk]}',
);

const bytes = { serialize: (value: Buffer) => value, deserialize: (value: Buffer) => value };

function method(path: string, requestStream: boolean, responseStream: boolean) {
  return {
    ...{ path, requestStream, responseStream },
    ...{ requestSerialize: bytes.serialize, requestDeserialize: bytes.deserialize },
    ...{ responseSerialize: bytes.serialize, responseDeserialize: bytes.deserialize },
  };
}

const SERVICE: ServiceDefinition = {
  place: method('/shop.v1.Orders/Place', false, false),
  withheld: method('/shop.v1.Orders/Withheld', false, false),
  talk: method('/shop.v1.Orders/Talk', true, true),
  health: method('/grpc.health.v1.Health/Check', false, false),
};

/** An app that answers each order with its receipt, or with what the order's test metadata asks for. */
async function start(t: Test, policies: string) {
  const seen: string[] = [];
  const receipt = (metadata: Metadata) => {
    const [asked] = metadata.get('x-answer');
    if (asked === undefined) return shop.encode('Receipt', { id: 'r' });
    return Buffer.from(String(asked), 'hex');
  };
  const place: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    seen.push('place');
    callback(null, receipt(call.metadata));
  };
  const talk: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on('data', () => {
      seen.push('talk');
      call.write(receipt(call.metadata));
    });
    call.on('end', () => call.end());
    call.on('error', () => seen.push('broke off'));
    call.on('cancelled', () => seen.push('cancelled'));
  };
  const server = new Server();
  server.addService(SERVICE, { place, withheld: place, health: place, talk });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  t.teardown(() => server.forceShutdown());
  const pair = await startGrpcPair(t, port, policies, { 'shop.binpb': shop.set });
  return { seen, pair, client: connect(t, pair) };
}

function connect(t: Test, { address, authority }: GrpcPair, options = {}): Client {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.default_authority': authority, ...options });
  t.teardown(() => client.close());
  return client;
}

type Answer = Buffer | ServiceError;

function unary(
  client: Client,
  message: Buffer,
  path = '/shop.v1.Orders/Place',
  metadata = new Metadata(),
): Promise<Answer> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, bytes.serialize, bytes.deserialize, message, metadata, (error, value) =>
      resolve(error ?? value ?? Buffer.alloc(0)),
    );
  });
}

/** A call that fails; throws where it does not: tap finds that bytes match any pattern. */
async function refusal(...call: Parameters<typeof unary>): Promise<ServiceError> {
  const answer = await unary(...call);
  if (Buffer.isBuffer(answer)) throw new Error(`answered with ${answer.length} bytes`);
  return answer;
}

function talk(client: Client, metadata = new Metadata()) {
  const stream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
    '/shop.v1.Orders/Talk',
    bytes.serialize,
    bytes.deserialize,
    metadata,
  );
  const received: Buffer[] = [];
  const ended = new Promise<ServiceError | undefined>((resolve) => {
    stream.on('data', (message: Buffer) => received.push(message));
    stream.on('error', (error: ServiceError) => resolve(error)).on('end', () => resolve(undefined));
  });
  return { stream, received, ended };
}

function answering(message: Buffer): Metadata {
  const metadata = new Metadata();
  metadata.set('x-answer', message.toString('hex'));
  return metadata;
}

t.test('unary calls are held against their types', async (t) => {
  const { client, seen, pair } = await start(t, ENFORCE);
  t.strictSame(await unary(client, order()), shop.encode('Receipt', { id: 'r' }));
  const refused = await refusal(client, order({ items: [{ sku: 'abc', quantity: 1 }] }));
  t.match(refused, { code: status.INVALID_ARGUMENT, details: 'invalid_body' });
  t.strictSame(refused.metadata.get('grpc-status-details-bin'), [], 'the caller is told no more');
  t.match(await refusal(client, Buffer.from([0x0a, 9])), { code: status.INVALID_ARGUMENT, details: 'malformed_body' });
  t.match(await refusal(client, order(), '/shop.v1.Orders/Withheld'), {
    code: status.UNIMPLEMENTED,
    details: 'undocumented_path',
  });
  t.match(await refusal(client, order(), '/shop.v1.Orders/Nothing'), { code: status.UNIMPLEMENTED });
  t.match(await refusal(client, Buffer.alloc(0), '/grpc.health.v1.Health/Check'), { code: status.UNIMPLEMENTED });
  t.match(await refusal(client, order({ id: 'x'.repeat(2 ** 20) })), {
    code: status.RESOURCE_EXHAUSTED,
    details: 'body_too_large',
  });
  t.strictSame(seen, ['place'], 'the app saw the good one only');
  const [, line] = await pair.log('server', 2);
  t.match(line, {
    code: 'invalid_body',
    policy: 'test/shop',
    details: [{ pointer: '/items/0/sku', keyword: 'string.pattern' }],
  });
  t.notMatch(JSON.stringify(line), /"abc"/, 'the value is not in the record');
  t.equal(heldBytes(), 0);
});

t.test('large and compressed messages pass whole', async (t) => {
  const { client, pair } = await start(
    t,
    ENFORCE.replace('  mode: Enforce', '  mode: Enforce\n  limits: {bodyBytes: 8Mi}'),
  );
  const many = Array.from({ length: 1_000 }, (_, number) => ({ sku: `ABC-${number}`, quantity: 1 }));
  const large = order({ id: 'x'.repeat(3_000_000), items: many });
  t.strictSame(await unary(client, large), shop.encode('Receipt', { id: 'r' }), 'judged by another thread');
  t.match(await refusal(client, order({ id: 'x'.repeat(3_000_000), items: [...many, ...many] })), {
    code: status.INVALID_ARGUMENT,
    details: 'invalid_body',
  });
  const zipped = connect(t, pair, { 'grpc.default_compression_algorithm': 2 });
  t.strictSame(await unary(zipped, order({ id: 'y'.repeat(10_000) })), shop.encode('Receipt', { id: 'r' }));
  t.match(await refusal(zipped, order({ kind: 9, id: 'y'.repeat(10_000) })), { code: status.INVALID_ARGUMENT });
  t.match(await refusal(zipped, order({ id: 'y'.repeat(9_000_000) })), { code: status.RESOURCE_EXHAUSTED }, 'a bomb');
  t.equal(heldBytes(), 0);
});

t.test('a stream goes on message by message, and ends with the first that does not fit', async (t) => {
  const { client, seen } = await start(t, ENFORCE);
  const { stream, received, ended } = talk(client);
  for (let number = 0; number < 200; number += 1) stream.write(order({ id: `order ${number}` }));
  while (received.length < 200) await sleep(5);
  stream.write(order({ kind: 5 }));
  stream.write(order());
  t.match(await ended, { code: status.INVALID_ARGUMENT, details: 'invalid_body' }, 'told in trailers');
  t.equal(received.length, 200);
  while (!seen.includes('cancelled')) await sleep(5);
  t.equal(seen.filter((one) => one === 'talk').length, 200, 'the app saw the good ones, and that the call ended');
  t.equal(heldBytes(), 0);
});

t.test('what the app answers is held against its type', async (t) => {
  const { client, pair } = await start(t, ENFORCE);
  const wrong = Buffer.from([0x08, 1]);
  t.match(await refusal(client, order(), undefined, answering(wrong)), {
    code: status.INTERNAL,
    details: 'invalid_response',
  });
  const { stream, ended, received } = talk(client, answering(wrong));
  stream.write(order());
  t.match(await ended, { code: status.INTERNAL, details: 'invalid_response' });
  t.strictSame(received, []);
  const [line] = await pair.log('server', 1);
  t.match(line, { code: 'invalid_response', details: [{ in: 'response', pointer: '/id', keyword: 'wireType' }] });
});

t.test('callers that a policy trusts are told which field', async (t) => {
  const { client } = await start(t, `${ENFORCE}\n  fieldDetails: {principals: ["cluster.local/ns/test/sa/client"]}`);
  const refused = await refusal(client, order({ items: [GOOD.items[0], { sku: 'abc', quantity: 1 }] }));
  const [details] = refused.metadata.get('grpc-status-details-bin');
  t.match(String(details), /type\.googleapis\.com\/google\.rpc\.BadRequest/);
  t.match(String(details), /items\[1\]\.sku/);
});

t.test('Audit lets all pass and records the first finding', async (t) => {
  const { client, pair, seen } = await start(t, policy('  response: {body: Audit}\n  limits: {bodyBytes: 10Ki}'));
  t.ok(Buffer.isBuffer(await unary(client, order({ kind: 5 }))));
  t.ok(Buffer.isBuffer(await unary(client, order({ id: 'x'.repeat(100_000) }))));
  t.ok(Buffer.isBuffer(await unary(client, order(), undefined, answering(Buffer.from([0x08, 1])))));
  const { stream, ended, received } = talk(client);
  for (const kind of [0, 5, 0, 1]) stream.write(order({ kind }));
  stream.end();
  t.equal(await ended, undefined);
  t.equal(received.length, 4);
  t.equal(seen.filter((one) => one !== 'cancelled').length, 7);
  const codes = (await pair.log('server', 4)).map(({ decision, code }) => `${decision} ${code}`);
  t.strictSame(codes, ['audit invalid_body', 'audit body_too_large', 'audit invalid_response', 'audit invalid_body']);
  t.equal(heldBytes(), 0);
});

t.test('a body that is coded as a whole does not pass unseen', async (t) => {
  const { client, seen } = await start(t, ENFORCE);
  const coded = new Metadata();
  coded.set('content-encoding', 'br');
  t.match(await refusal(client, order(), undefined, coded), {
    code: status.INVALID_ARGUMENT,
    details: 'unsupported_media_type',
  });
  const plain = new Metadata();
  plain.set('content-encoding', 'identity');
  t.ok(Buffer.isBuffer(await unary(client, order(), undefined, plain)));
  t.strictSame(seen, ['place']);
});

t.test('health and reflection are exempt by choice', async (t) => {
  const { client } = await start(t, ENFORCE.replace('grpc: {', 'grpc: {exempt: [Health], '));
  t.ok(Buffer.isBuffer(await unary(client, Buffer.alloc(0), '/grpc.health.v1.Health/Check')));
  t.match(await refusal(client, Buffer.alloc(0), '/grpc.health.v1.Health/Check/shop.v1.Orders/Place'), {
    code: status.UNIMPLEMENTED,
    details: 'undocumented_path',
  });
  t.match(await refusal(client, Buffer.alloc(0), '/grpc.reflection.v1.ServerReflection/Info'), {
    code: status.UNIMPLEMENTED,
  });
});
