import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { freePorts } from '../../support/free-ports.ts';
import { denied, startGrpcProvider } from '../../support/grpc-provider.ts';
import { ALLOW_ANYBODY, readAll, startInbound } from '../../support/inbound-sidecar.ts';
import { startSidecarBeside } from '../../support/sidecar-beside.ts';

t.test('a provider of the mesh is asked over mutual TLS, with the identity that is declared for it', async (t) => {
  const app = createServer((_request, response) => response.end('reached'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  t.teardown(() => app.close());
  const provider = await startGrpcProvider(t);
  const [providerPort = 0] = await freePorts(1);
  const policies = (serviceAccount: string) => `${ALLOW_ANYBODY}---
apiVersion: lateral.dev/v1alpha1
kind: MeshService
metadata: {name: opa, namespace: policy}
spec:
  hosts: [opa.policy]
  ports: [{port: 9191, protocol: grpc}]
  endpoints: [{address: 127.0.0.1, port: ${providerPort}, serviceAccount: ${serviceAccount}}]
---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: policy/opa.policy, port: 9191, timeout: 5s}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec: {action: CUSTOM, provider: {name: opa}, rules: [{}]}
`;
  const sidecar = await startInbound(t, (app.address() as AddressInfo).port, 'http', policies('opa'));
  const beside = await startSidecarBeside(t, sidecar, {
    namespace: 'policy',
    serviceAccount: 'opa',
    port: providerPort,
    appPort: provider.port,
    protocol: 'grpc',
    policies: `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-server, namespace: policy}
spec: {rules: [{from: [{source: {principals: [cluster.local/ns/test/sa/server]}}]}]}
`,
  });
  const status = async () => {
    const caller = await sidecar.connectTls('client');
    caller.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    return Number((await readAll(caller)).split(' ')[1]);
  };
  t.equal(await status(), 200);
  t.equal(provider.asked.length, 1);
  t.match((await beside.log(1))[0], {
    source: 'spiffe://cluster.local/ns/test/sa/server',
    path: '/envoy.service.auth.v3.Authorization/Check',
    decision: 'allow',
  });
  provider.answer = () => denied(401);
  t.equal(await status(), 401);
  await sidecar.setPolicies(policies('another'));
  t.equal(await status(), 403, 'who answers is not whom discovery declares');
  t.equal(provider.asked.length, 2);
  t.match((await sidecar.log(3))[2]?.reason, /^provider opa, by rule 0 of .*sa\/another/);
});
