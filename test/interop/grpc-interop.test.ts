import t from 'tap';
import { startProgram } from '../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { startGrpcPair } from '../support/grpc-pair.ts';
import { route, runGrpcClient } from '../support/grpc-peers.ts';

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

t.setTimeout(GO_TEST_TIMEOUT_MS);

const tools = await goTools(t, 'grpc');
if (tools !== undefined) {
  const server = await startProgram(t, tools.grpc, ['interop-server']);
  const pair = await startGrpcPair(t, server.port);
  for (const name of CASES) {
    t.test(`grpc-go's interop case ${name} passes through two sidecars`, async (t) => {
      const { code, errors } = await runGrpcClient(tools.grpc, 'interop-client', { ...route(pair), case: name });
      t.equal(code, 0, name, { errors });
    });
  }
}
