import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { isRecord } from '#policy/schema/schema.ts';
import { issueLeaf, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesFromPem, certificatesToPem } from '#policy/x509/pem.ts';
import type { TestLeaf } from '../support/certificates.ts';
import type { MeshProcesses } from '../support/mesh-processes.ts';
import { exchangeBytesOverTls } from '../support/raw-http.ts';
import { refusedConnections } from '../support/refused-connections.ts';
import { noTurningClock } from '../support/turning-clock.ts';
import { LEAF_LIFETIME_MS, startTurningMesh } from '../support/turning-mesh.ts';

t.setTimeout(900_000);

const HOUR_MS = 3_600_000;
/** Visitors that have left are waited for until their certificates have ended, and so are leaves of the root before. */
const LONGEST_ROTATION_MS = 3 * LEAF_LIFETIME_MS;
const REQUEST = 'GET / HTTP/1.1\r\nHost: orders.shop\r\nConnection: close\r\n\r\n';

interface Authority {
  readonly stage: string;
  readonly roots: readonly { readonly fingerprint: string; readonly role: string }[];
}

/** As the control plane's loopback tells it. */
async function authorityOf({ statusPort }: MeshProcesses): Promise<Authority> {
  const answer = await fetch(`http://127.0.0.1:${statusPort}/authority`);
  const told: unknown = await answer.json();
  if (!isRecord(told) || !Array.isArray(told['roots'])) throw new Error(`${answer.status} ${JSON.stringify(told)}`);
  return { stage: String(told['stage']), roots: told['roots'] };
}

/** A certificate of web for a week, as somebody makes it who has stolen the authority's key. */
async function stolenLeaf(mesh: MeshProcesses, nowMs: number): Promise<TestLeaf> {
  const read = (file: string) => readFile(join(mesh.directory, 'state/ca', file), 'utf8');
  const [certificate = Buffer.alloc(0)] = certificatesFromPem(await read('ca-cert.pem'));
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const leaf = issueLeaf(
    {
      uri: 'spiffe://cluster.local/ns/shop/sa/web',
      subjectPublicKeyInfo: publicKey.export({ type: 'spki', format: 'der' }),
      nowMs,
      lifetimeMs: 7 * 24 * HOUR_MS,
      serial: randomBytes(SERIAL_BYTES),
    },
    {
      certificate,
      privateKey: createPrivateKey(await read('ca-key.pem')),
      notAfterMs: new X509Certificate(certificate).validToDate.getTime(),
    },
  );
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { cert: certificatesToPem([leaf, certificate]), key };
}

t.test(
  'a root is changed under traffic, the control plane killed in each stage, and no request fails',
  { skip: noTurningClock },
  async (t) => {
    const turning = await startTurningMesh(t);
    const { traffic, sidecars, uses, ends, clock, mesh } = turning;
    const [, orders] = sidecars;
    if (orders === undefined) throw new Error('no orders');
    const stolen = await stolenLeaf(mesh, clock.now());
    const asThief = () => exchangeBytesOverTls(orders.inbound, REQUEST, stolen);
    await turning.pass(HOUR_MS / 2);
    await turning.visit(t, 'visitor-before');
    const [oldRoot] = (await authorityOf(mesh)).roots;
    t.match(await asThief(), /^HTTP\/1\.1 200/, 'the old root is believed');

    const stages = ['none'];
    const note = async () => {
      const { stage } = await authorityOf(mesh);
      if (stages.at(-1) !== stage) {
        stages.push(stage);
        t.comment(`${stage} at ${new Date(clock.now()).toISOString()}`);
        await mesh.crash();
        if (stage === 'signing') await turning.visit(t, 'visitor-between');
      }
    };
    await mesh.authority('rotate');
    t.match(await authorityOf(mesh), { stage: 'trusting', roots: [{ role: 'own' }, { role: 'next' }] });
    const startedAtMs = clock.now();
    await note();
    while (stages.at(-1) !== 'none' && clock.now() - startedAtMs < LONGEST_ROTATION_MS) {
      await turning.pass(HOUR_MS / 10, note);
    }
    t.same(
      stages.filter((stage) => stage !== 'promoting'),
      ['none', 'trusting', 'signing', 'none'],
    );
    await turning.pass(HOUR_MS / 2);
    await turning.visit(t, 'visitor-after');
    const after = await authorityOf(mesh);
    t.same(
      after.roots.map(({ role }) => role),
      ['own'],
    );
    t.not(after.roots[0]?.fingerprint, oldRoot?.fingerprint);
    t.equal(await asThief(), '', 'the old root is believed no longer');
    t.equal((await refusedConnections(orders, 1)).at(-1)?.code, 'untrusted_issuer');

    await traffic.end();
    t.comment(`${traffic.served} served, ${traffic.failed.length} failed, ${traffic.streams.length} streams ended`);
    t.same(traffic.failed.slice(0, 20), [], 'no request failed');
    t.ok(traffic.served > 500, `${traffic.served} were served`);
    const thief = new X509Certificate(stolen.cert).fingerprint256.replaceAll(':', '').toLowerCase();
    const late = uses.filter(({ atMs, sha256 }) => sha256 !== thief && atMs > (ends.get(sha256) ?? 0));
    t.same(late.slice(0, 5), [], 'no request came by a certificate that had ended');
  },
);
