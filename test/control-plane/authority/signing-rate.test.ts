import { generateKeyPairSync } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { SIGNINGS } from '#control-plane/authority/authority-service.ts';
import { createCertificateRequest } from '#policy/x509/certificate-request.ts';
import { AuthorityService, type SignResponse } from '#proto/gen/lateral/v1/authority.ts';
import { callCode, openControlConnection } from '#sidecar/control/control-endpoint.ts';
import { allowPolicy, ControlPlaneFixture, MESH, SidecarFixture } from '../control-plane-fixture.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const csr = createCertificateRequest(publicKey, privateKey);
const { burst, intervalMs } = SIGNINGS.address;
const CALLS = 1.5 * burst;

t.test('a caller with a good certificate has so many signed, and others are served meanwhile', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('a.yaml', allowPolicy('a', 'web'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  const connection = await new SidecarFixture(fixture).connect({ tokenFile: await fixture.token() });
  t.teardown(() => connection.close());
  const credentials = connection.credentials.current();
  if (credentials === undefined) throw new Error('no certificate');
  const trustBundlePem = fixture.running?.trustBundlePem ?? '';
  const client = openControlConnection(
    { address: `127.0.0.1:${fixture.port}`, trustBundlePem, mesh: MESH },
    credentials,
  );
  t.teardown(() => client.close());
  const { path, requestSerialize, responseDeserialize } = AuthorityService.sign;
  const sign = () =>
    new Promise<SignResponse | undefined>((resolve, reject) => {
      const request = { csr, expectedIdentity: credentials.identity.uri };
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) =>
        error === null ? resolve(response) : reject(error),
      );
    });

  const beganMs = performance.now();
  const answers = await Promise.allSettled(Array.from({ length: CALLS }, sign));
  const signed = answers.filter((answer) => answer.status === 'fulfilled').length;
  const most = burst + (performance.now() - beganMs) / intervalMs;
  t.ok(signed > 0 && signed <= most, `${signed} were signed, ${most} at most`);
  const refused = answers.filter((answer) => answer.status === 'rejected').map(({ reason }) => reason);
  t.ok(refused.every((error) => error.code === status.RESOURCE_EXHAUSTED));
  t.ok(refused.every((error) => callCode(error).code === 'signing_rate_limited'));
  t.match(refused[0]?.details, /^address 127\.0\.0\.1 asks for certificates of spiffe:.*\/orders more often/);

  const metrics = await (await fixture.status('/metrics')).text();
  t.match(metrics, new RegExp(`^lateral_control_plane_signings_over_rate_total ${refused.length}$`, 'm'));
  const web = { name: 'web-1', namespace: 'shop', serviceAccount: 'web', labels: {} };
  const tokenFile = await fixture.token({ serviceAccount: 'web' });
  const other = await new SidecarFixture(fixture).connect({ tokenFile, workload: web });
  t.teardown(() => other.close());
  t.ok(other.credentials.current(), 'another identity of the same address');
});
