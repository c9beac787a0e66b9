import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import t from 'tap';
import type { Snapshot } from '#policy/resource-set.ts';
import { ControlPlaneFixture, eventually, SidecarFixture } from '../../control-plane/control-plane-fixture.ts';

/** A description that hardly gets smaller when it is compressed, and a policy that names it. */
function longSchema(names: number): string {
  const paths = Array.from({ length: names }, () => `    /${randomBytes(60).toString('hex')}: {get: {responses: {}}}`);
  return `openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n${paths.join('\n')}\n`;
}

const RESOURCES = `apiVersion: lateral.dev/v1alpha1
kind: APISchema
metadata: {name: long, namespace: shop}
spec: {openapi: {file: long-api.yaml}}
---
apiVersion: lateral.dev/v1alpha1
kind: APIValidationPolicy
metadata: {name: long, namespace: shop}
spec: {schemaRefs: [long]}
`;

/** Passes bytes on to a port, and ends each connection once it has carried so many from there. */
async function cutting(t: { teardown(end: () => void): void }, port: () => number, bytes: readonly number[]) {
  const left = [...bytes];
  const carried: number[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const limit = left.shift() ?? Number.POSITIVE_INFINITY;
    const index = carried.push(0) - 1;
    const far = connect(port(), '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far);
    far.on('data', (data: Buffer) => {
      carried[index] = (carried[index] ?? 0) + data.byteLength;
      near.write(data);
      if ((carried[index] ?? 0) > limit) near.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { port: address.port, carried };
}

t.test('a long description comes in chunks, and goes on where a connection has ended', async (t) => {
  const fixture = new ControlPlaneFixture(t.testdir());
  await fixture.writePolicy('long-api.yaml', longSchema(2_000));
  await fixture.writePolicy('long.yaml', RESOURCES);
  await fixture.writePolicy('second-api.yaml', longSchema(2_000));
  await fixture.writePolicy('second.yaml', RESOURCES.replaceAll('long', 'second'));
  await fixture.start();
  t.teardown(() => fixture.stop());
  // The first connection is for the certificate; the second ends amid the second document.
  const relay = await cutting(t, () => fixture.port, [Number.POSITIVE_INFINITY, 300_000]);
  const sidecar = new SidecarFixture(fixture);
  const connection = await sidecar.connect({
    tokenFile: await fixture.token(),
    address: `127.0.0.1:${relay.port}`,
  });
  t.teardown(() => connection.close());
  const applied: Snapshot[] = [];
  await connection.policies.start(async (snapshot) => {
    applied.push(snapshot);
  });
  await eventually('it is in force', () => applied.length === 1);
  t.match(
    applied[0]?.resources.map(({ key }) => key).filter((key) => key.startsWith('API')),
    [
      'APISchema/shop/long',
      'APISchema/shop/second',
      'APIValidationPolicy/shop/long',
      'APIValidationPolicy/shop/second',
    ],
  );
  const lengths = applied[0]?.resources.map(({ document }) => document.length) ?? [];
  t.ok(lengths.filter((length) => length > 150_000).length === 2, String(lengths));
  const [, cut = 0, ...rest] = relay.carried;
  const whole = lengths.reduce((sum, length) => sum + length, 0);
  t.ok(cut > 300_000 && Math.max(...rest) < whole - 100_000, `${relay.carried} of ${whole}`);
  t.ok(sidecar.events.some(({ event }) => event === 'control_plane_lost'));
});
