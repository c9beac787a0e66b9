import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { issueLeaf, SERIAL_BYTES } from '#policy/x509/certificate.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import { runProgram } from '../support/go-program.ts';
import { GO_TEST_TIMEOUT_MS, goTools } from '../support/go-tools.ts';
import { until } from '../support/inbound-sidecar.ts';
import { type OpensslAuthority, opensslAuthority } from '../support/openssl-authorities.ts';
import { writePeerFiles } from '../support/peer-certificates.ts';
import { skipWithout } from '../support/run-command.ts';
import { ALLOW_ALL } from '../support/sidecar-pair.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startApp } from '../support/start-app.ts';

t.setTimeout(GO_TEST_TIMEOUT_MS);

/** Among so many connections each of two workers has some. */
const CONNECTIONS = 24;
const SERVER = 'spiffe://cluster.local/ns/test/sa/server';

const go = (await goTools(t, 'spiffe'))?.spiffe;
const skip = (await skipWithout('openssl')) || (go === undefined ? 'the Go program cannot be built' : false);

/** A certificate with the authority that issued it; PEM. */
function leafUnder(issuer: OpensslAuthority, uri: string): { readonly cert: string; readonly key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificate = new X509Certificate(issuer.pem);
  const leaf = issueLeaf(
    {
      uri,
      subjectPublicKeyInfo: publicKey.export({ type: 'spki', format: 'der' }),
      nowMs: Date.now(),
      lifetimeMs: 3_600_000,
      serial: randomBytes(SERIAL_BYTES),
    },
    {
      certificate: certificate.raw,
      privateKey: createPrivateKey(issuer.keyPem),
      notAfterMs: certificate.validToDate.getTime(),
    },
  );
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { cert: certificatesToPem([leaf, certificate.raw]), key };
}

t.test(
  'a caller of another issuer than the sidecar has is served whichever worker its session comes to',
  { skip },
  async (t) => {
    const directory = t.testdir();
    const root = await opensslAuthority(directory, 'root', 'P-256', 1);
    const [one, other] = [
      await opensslAuthority(directory, 'one', 'P-256', 0, root),
      await opensslAuthority(directory, 'other', 'P-256', 0, root),
    ];
    const app = await startApp(t, (_request, response) => response.end('ok'));
    const sidecar = await startSidecarProcess(t, app.port, ALLOW_ALL, 'concurrency: 2');
    const own = leafUnder(one, SERVER);
    await sidecar.replace('ca.pem', root.pem);
    await sidecar.replace('server.key', own.key);
    await sidecar.replace('server.pem', own.cert);
    const ask = async (name: string, issuer: OpensslAuthority, connections: number) => {
      const { cert, key } = leafUnder(issuer, 'spiffe://cluster.local/ns/test/sa/client');
      const files = await writePeerFiles(sidecar.directory, name, cert, key);
      const bundle = join(sidecar.directory, 'ca.pem');
      const where = { expect: SERVER, to: `127.0.0.1:${sidecar.port}`, bundle };
      const all = { ...files, ...where, library: 'crypto/tls', resume: true, connections };
      const args = Object.entries(all).map(([option, value]) => `-${option}=${value}`);
      return (await runProgram(go ?? '', ['ask', ...args])).told;
    };
    // of the sidecar's own issuer, and another certificate: what a worker remembers of it helps nobody else
    await until(async () => (await ask('first', one, 1))[0]?.['status'] === 200);
    const told = await ask('caller', other, CONNECTIONS);
    t.same(
      told.filter(({ status }) => status !== 200),
      [],
      'all are served',
    );
    t.ok(told.some(({ resumed }) => resumed === true));
  },
);
