import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { startProgram } from '../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { ALLOW_ANYBODY, readAll, startInbound } from '../support/inbound-sidecar.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

/** As one writes them for OPA before Envoy: what is asked is \`input\`. */
const POLICY = `package envoy.authz

default allow := {"allowed": false, "http_status": 401, "headers": {"x-why": "unknown"}, "body": "who are you"}

http := input.attributes.request.http

allow := {"allowed": true, "headers": {"x-opa-user": user}, "request_headers_to_remove": ["x-token"]} if {
  input.attributes.source.principal == "spiffe://cluster.local/ns/test/sa/client"
  startswith(http.path, "/reports")
  user := http.headers["x-user"]
  input.attributes.destination.principal == "spiffe://cluster.local/ns/test/sa/server"
  input.attributes.source.address.socketAddress.address == "127.0.0.1"
  input.attributes.source.address.socketAddress.portValue > 0
  http.method == "GET"
  http.headers[":authority"] == "orders"
  http.host == "orders"
  http.scheme == "https"
  http.protocol == "HTTP/1.1"
  input.attributes.tlsSession.sni == "server.test"
  time.parse_rfc3339_ns(input.attributes.request.time) > 0
}

allow := true if not http
`;

t.test('a policy of OPA decides by header, path and principal, over Envoy’s own messages', async (t) => {
  const tools = await goTools(t, 'opa');
  if (tools === undefined) return;
  const policy = join(t.testdir(), 'policy.rego');
  await writeFile(policy, POLICY);
  const opa = await startProgram(t, tools.opa, [policy]);
  const seen: Record<string, unknown>[] = [];
  const app = createServer((request, response) => {
    seen.push({ ...request.headers });
    response.end('reached');
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  t.teardown(() => app.close());
  const asking = `---
apiVersion: lateral.dev/v1alpha1
kind: MeshDefaults
metadata: {name: default, namespace: lateral-system}
spec: {extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: localhost, port: ${opa.port}, timeout: 10s}}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask-opa, namespace: test}
spec: {action: CUSTOM, provider: {name: opa}, rules: [{}]}
`;
  const sidecar = await startInbound(t, (app.address() as AddressInfo).port, 'http', ALLOW_ANYBODY + asking);
  const send = async (path: string, serviceAccount: string, user = '') => {
    const caller = await sidecar.connectTls(serviceAccount, { servername: 'server.test' });
    caller.write(`GET ${path} HTTP/1.1\r\nhost: orders\r\nconnection: close\r\nx-token: t\r\n${user}\r\n`);
    return readAll(caller);
  };
  t.match(await send('/reports/1?year=2', 'client', 'x-user: ann\r\n'), /^HTTP\/1\.1 200 /);
  t.equal(seen[0]?.['x-opa-user'], 'ann', 'a header that the policy sets');
  t.equal(seen[0]?.['x-token'], undefined, 'a header that it removes');
  const refusals = [
    ['no header', await send('/reports/1', 'client')],
    ['another path', await send('/other', 'client', 'x-user: ann\r\n')],
    ['another caller', await send('/reports/1', 'somebody', 'x-user: ann\r\n')],
  ] as const;
  for (const [title, answer] of refusals) {
    t.match(answer, /^HTTP\/1\.1 401 /, title);
    t.match(answer, /\r\nx-why: unknown\r\n/, title);
    t.match(answer, /\r\n\r\nwho are you$/, title);
  }
  t.equal(seen.length, 1);
});
