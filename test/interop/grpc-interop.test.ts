import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { startProgram } from '../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { type GrpcPair, startGrpcPair } from '../support/grpc-pair.ts';
import { route, runGrpcClient } from '../support/grpc-peers.ts';
import { ALLOW_ALL } from '../support/sidecar-pair.ts';

/** Of grpc-go 1.85; those that need a cloud's credentials are named in test/peers/grpc/interop.go. */
const CASES = [
  'cancel_after_begin',
  'cancel_after_first_response',
  'channel_soak',
  'client_streaming',
  'custom_metadata',
  'empty_stream',
  'empty_unary',
  'large_unary',
  'orca_oob',
  'orca_per_rpc',
  'pick_first_unary',
  'ping_pong',
  'rpc_soak',
  'server_streaming',
  'special_status_message',
  'status_code_and_message',
  'timeout_on_sleeping_server',
  'unimplemented_method',
  'unimplemented_service',
];

/** A service that no descriptor set has is told as unimplemented all the same. */
const JUDGED = `${ALLOW_ALL}---
apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: interop, namespace: test}
spec: {protoDescriptorSet: {file: interop.binpb}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: interop, namespace: test}
spec:
  selector: {matchLabels: {app: server}}
  schemaRefs: [interop]
  mode: Enforce
  request: {unknownProperties: Deny}
  response: {body: Enforce}
`;

t.setTimeout(GO_TEST_TIMEOUT_MS);

const tools = await goTools(t, 'grpc');
if (tools !== undefined) {
  const server = await startProgram(t, tools.grpc, ['interop-server']);
  const types = spawnSync(tools.grpc, ['interop-types']).stdout;
  const pass = async (t: Test, pair: GrpcPair, name: string) => {
    const { code, errors } = await runGrpcClient(tools.grpc, 'interop-client', { ...route(pair), case: name });
    t.equal(code, 0, name, { errors });
  };
  t.test('cases of grpc-go pass through two sidecars', async (t) => {
    const pair = await startGrpcPair(t, server.port);
    for (const name of CASES) await t.test(name, (t) => pass(t, pair, name));
  });
  t.test('they pass where every message is judged, both ways', async (t) => {
    const pair = await startGrpcPair(t, server.port, JUDGED, { 'interop.binpb': types });
    for (const name of CASES) await t.test(name, (t) => pass(t, pair, name));
  });
}
