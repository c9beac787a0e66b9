import { generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, status } from '@grpc/grpc-js';
import t, { type Test } from 'tap';
import { proxiesCommand } from '#cli/commands/proxies.ts';
import { issueOperatorToken } from '#control-plane/tokens/issue-token.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { AuthorityService } from '#proto/gen/lateral/v1/authority.ts';
import { OperationsService } from '#proto/gen/lateral/v1/operations.ts';
import { bearing, openControlConnection } from '#sidecar/control/control-endpoint.ts';
import type { Credentials } from '#sidecar/identity/credentials.ts';
import { SnapshotRefused } from '#sidecar/policy/policy-source.ts';
import { allowPolicy, ControlPlaneFixture, eventually, MESH, SidecarFixture } from '../control-plane-fixture.ts';

async function controlPlane(t: Test) {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  return fixture;
}

function clientOf(t: Test, fixture: ControlPlaneFixture, credentials?: Credentials): Client {
  const trustBundlePem = fixture.running?.trustBundlePem ?? '';
  const client = openControlConnection(
    { address: `127.0.0.1:${fixture.port}`, trustBundlePem, mesh: MESH },
    credentials,
  );
  t.teardown(() => client.close());
  return client;
}

type Method<Request, Response> = {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
};

/** The answer, or the refusal as `CODE details`. */
function call<Request, Response>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: Method<Request, Response>,
  request: Request,
  token?: string,
): Promise<Response | string> {
  const metadata = bearing(token ?? '');
  if (token === undefined) metadata.remove('authorization');
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, (error, response) => {
      if (error !== null) resolve(`${status[error.code]} ${error.details}`);
      else if (response === undefined) reject(new Error('neither error nor answer'));
      else resolve(response);
    });
  });
}

t.test("nothing is told without an operator's token that is valid now", async (t) => {
  const fixture = await controlPlane(t);
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const expired = await issueOperatorToken(fixture.configuration, 1_000);
  const good = await issueOperatorToken(fixture.configuration, undefined);
  const joinToken = (await readFile(await fixture.token({ isReusable: true }), 'utf8')).trim();
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  const stranger = clientOf(t, fixture);
  const workload = clientOf(t, fixture, connection.credentials.current());
  const cases: [Client, string | undefined, RegExp][] = [
    [stranger, undefined, /^UNAUTHENTICATED an operator's token is needed; `lateral token --operator` issues one/],
    [workload, undefined, /^UNAUTHENTICATED an operator's token is needed/],
    [stranger, joinToken, /^UNAUTHENTICATED token is a workload's, not an operator's/],
    [stranger, 'anything', /^UNAUTHENTICATED token is not of the form/],
    [stranger, `${good.slice(0, -1)}${good.endsWith('A') ? 'B' : 'A'}`, /^UNAUTHENTICATED token is unknown here/],
    [stranger, expired, /^UNAUTHENTICATED token (expired at|is unknown here)/],
  ];
  for (const [client, token, message] of cases) {
    t.match(await call(client, OperationsService.listProxies, { namespace: '' }, token), message);
    t.match(await call(client, OperationsService.listDecisions, { code: '', limit: 0 }, token), message);
    t.match(await call(client, OperationsService.getDecision, { decisionId: 'a' }, token), message);
  }
  t.match(await call(stranger, OperationsService.listProxies, { namespace: '' }, good), { source: { resources: 1 } });
  t.ok(fixture.events.some(({ event }) => event === 'operation_refused'));
});

t.test("an operator's token signs no certificate", async (t) => {
  const fixture = await controlPlane(t);
  const token = await issueOperatorToken(fixture.configuration, undefined);
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const request = {
    csr: createCertificateRequest(publicKey, privateKey),
    expectedIdentity: 'spiffe://cluster.local/ns/shop/sa/orders',
  };
  const answer = await call(clientOf(t, fixture), AuthorityService.sign, request, token);
  t.match(answer, /^UNAUTHENTICATED token is an operator's token, which proves no workload/);
});

t.test('what a sidecar refused is listed with its reasons, and can fail the command', async (t) => {
  const fixture = await controlPlane(t);
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  let complaint: string | undefined;
  await connection.policies.start(async () => {
    if (complaint !== undefined) throw new SnapshotRefused([complaint]);
  });
  const tokenFile = join(fixture.directory, 'operator.token');
  await writeFile(tokenFile, await issueOperatorToken(fixture.configuration, undefined));
  const bundle = join(fixture.directory, 'state', 'ca', 'root-cert.pem');
  const reach = ['--control-plane', `127.0.0.1:${fixture.port}`, '--token-file', tokenFile, '--trust-bundle', bundle];
  const proxies = async (...args: readonly string[]) => {
    let stdout = '';
    const io = { stdout: (text: string) => (stdout += text), stderr: () => {} };
    return { code: await proxiesCommand.run([...args, ...reach], io), stdout };
  };
  t.equal((await proxies('--fail-on', 'pending')).code, 0);

  complaint = 'too new\u001b[2J for this version';
  await fixture.writePolicy('b.yaml', allowPolicy('b', 'web'));
  const isRefused = async () => (await (await fixture.status('/proxies')).text()).includes('"state": "refused"');
  await eventually('it was refused', isRefused);
  const { code, stdout } = await proxies();
  t.equal(code, 0);
  t.match(stdout, /^orders-1 +shop +shop\/orders +refused /m);
  t.match(
    stdout,
    /^shop\/orders-1 refused version [0-9a-f]{12}, \d+s ago; what it had stays in force:\n {2}too new\\u001b\[2J for/m,
  );
  t.equal((await proxies('--fail-on', 'refused')).code, 1);
  t.equal((await proxies('--fail-on', 'pending')).code, 1);
  t.equal((await proxies('elsewhere', '--fail-on', 'refused')).code, 0);
});
