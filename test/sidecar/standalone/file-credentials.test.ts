import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import t from 'tap';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import { watchCredentialFiles } from '#sidecar/standalone/file-credentials.ts';
import { eventually } from '../../control-plane/control-plane-fixture.ts';
import { TestAuthority } from '../../support/certificates.ts';

const OWN = spiffeId('cluster.local', 'test', 'orders');
const PATIENCE_MS = 20_000;
const CUT = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const HALF = '-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgI';

t.test('a set that is not whole is refused with its reason, and the last good one stays', async (t) => {
  const authority = new TestAuthority();
  const leaf = authority.leaf(OWN.uri);
  const directory = t.testdir({ 'c.pem': leaf.cert, 'k.pem': leaf.key, 'r.pem': authority.rootPem });
  const at = (name: string) => join(directory, name);
  const files = { certificate: at('c.pem'), privateKey: at('k.pem'), trustBundle: at('r.pem'), federation: [] };
  const problems: string[] = [];
  const source = await watchCredentialFiles(files, OWN, (message) => void problems.push(message));
  t.teardown(() => source.close());
  let renewals = 0;
  source.onRenewal(() => renewals++);
  while (renewals === 0) {
    await writeFile(at('c.pem'), leaf.cert); // until it is being watched
    await wait(300);
  }

  const broken: readonly (readonly [file: string, text: string, problem: RegExp])[] = [
    ['c.pem', `${leaf.cert}${CUT}`, /certificate chain: certificate 2/],
    ['c.pem', `${leaf.cert}${HALF}`, /certificate chain: of 2 CERTIFICATE blocks 1/],
    ['r.pem', `${authority.rootPem}${CUT}`, /trust bundle: /],
    ['r.pem', `${authority.rootPem}${HALF}`, /trust bundle: of 2 CERTIFICATE blocks 1/],
    ['r.pem', `${authority.rootPem}${leaf.cert}`, /trust bundle: .*not an authority/],
  ];
  for (const [file, text, problem] of broken) {
    await writeFile(at(file), text);
    await eventually(`${problem}`, () => problems.some((message) => problem.test(message)), PATIENCE_MS);
    t.equal(source.current().certificateChainPem, leaf.cert);
    t.equal(source.current().trustBundlePem, authority.rootPem);
    const before = renewals;
    await writeFile(at(file), file === 'c.pem' ? leaf.cert : authority.rootPem);
    await eventually('the good file again', () => renewals > before, PATIENCE_MS);
    problems.length = 0;
  }
});
