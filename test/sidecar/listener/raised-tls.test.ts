import tls from 'node:tls';
import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { TlsVersion } from '#policy/workload-policy.ts';
import { answerOf } from '#sidecar/exchange/refuse.ts';
import { TlsContexts } from '#sidecar/identity/tls-contexts.ts';
import { inboundListener } from '#sidecar/inbound/inbound-listener.ts';
import { type Lane, plainHttpLane } from '#sidecar/listener/lane.ts';
import { ReceivedCredentials } from '#sidecar/workers/received-credentials.ts';
import { TestAuthority } from '../../support/certificates.ts';
import { until } from '../../support/inbound-sidecar.ts';

const SERVER = spiffeId('cluster.local', 'test', 'server');
const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

t.test('a policy that asks for TLS 1.3 again ends idle connections of 1.2, and those of 1.3 stay', async (t) => {
  const authority = new TestAuthority();
  const { cert, key } = authority.leaf(SERVER.uri);
  let minTlsVersion: TlsVersion = 'TLSv1.2';
  let onChange = () => {};
  const contexts = new TlsContexts(
    new ReceivedCredentials({
      identity: SERVER,
      certificateChainPem: cert,
      privateKeyPem: key,
      trustBundlePem: authority.rootPem,
      expiresAtMs: Date.now() + 3_600_000,
    }),
    {
      get inForce() {
        return { trust: undefined, defaults: { minTlsVersion } };
      },
      onChange(listener) {
        onChange = listener;
      },
    },
  );
  const lane: Lane = {
    ...plainHttpLane({
      onRequest: (request) => request.respond({ status: 200, reason: '', headers: ['content-length', '0'] }).end([]),
      onUnreadable: (_caller, refusal) => answerOf(refusal, 'x', false),
    }),
    mode: () => 'STRICT',
  };
  const listener = inboundListener(lane, contexts);
  const port = await listener.open(0, '127.0.0.1');
  const leaf = authority.leaf('spiffe://cluster.local/ns/test/sa/client');
  const connect = (maxVersion: TlsVersion) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion, ...leaf });
    socket.on('error', () => {});
    let answers = 0;
    socket.on('data', () => answers++);
    socket.write(REQUEST);
    return { socket, answers: () => answers };
  };
  const [old, modern] = [connect('TLSv1.2'), connect('TLSv1.3')];
  t.teardown(() => {
    for (const { socket } of [old, modern]) socket.destroy();
    listener.destroy();
    contexts.close();
  });
  await until(() => old.answers() === 1 && modern.answers() === 1);
  minTlsVersion = 'TLSv1.3';
  onChange();
  await until(() => old.socket.destroyed);
  t.ok(old.socket.destroyed);
  modern.socket.write(REQUEST);
  await until(() => modern.answers() === 2);
  t.equal(modern.answers(), 2);
});
