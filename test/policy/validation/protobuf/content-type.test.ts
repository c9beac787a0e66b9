import t from 'tap';
import { isProtobufCall } from '#policy/validation/judge/message-plan.ts';

const isCall = (...values: readonly string[]) => isProtobufCall(values.flatMap((value) => ['Content-Type', value]));

t.test('content types that every reader takes for protobuf', (t) => {
  for (const value of [
    'application/grpc',
    'Application/GRPC',
    'application/grpc+proto',
    'application/grpc ; charset=utf-8',
    'application/grpc;',
    'application/grpc;proto',
  ]) {
    t.ok(isCall(value), value);
  }
  t.end();
});

t.test('content types that some reader takes for another codec', (t) => {
  for (const value of [
    'application/grpc+json',
    'application/grpc-web',
    'application/grpc-web+proto',
    'application/grpcx',
    'application/grpc;json',
    'application/grpc; json',
    'application/grpc;charset=utf-8;json',
    'application/grpc;json;charset=utf-8',
    'application/grpc+proto+json',
    '',
  ]) {
    t.notOk(isCall(value), value);
  }
  t.notOk(isCall(), 'none');
  t.notOk(isCall('application/grpc', 'application/grpc+json'), 'the last of two is what counts for some');
  t.notOk(isCall('application/grpc;', 'application/grpc+json'));
  t.notOk(isCall('application/grpc;a=', 'application/grpc+json'));
  t.end();
});

t.test('a long one costs no more than its length', (t) => {
  const long = ['; ', ';', ';  proto  ', ';a=b'].map((part) => `application/grpc${part.repeat(20_000)}`);
  const begun = performance.now();
  for (const value of long) {
    t.ok(isCall(value));
    t.notOk(isCall(`${value},`));
  }
  t.ok(performance.now() - begun < 1_000);
  t.end();
});
