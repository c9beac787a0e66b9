import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { makeCertificates } from '../../../scripts/bench/certificates.ts';

t.test('makes both proxies’ certificates, of one authority', async (t) => {
  const directory = t.testdir();
  await makeCertificates(directory);
  const read = async (name: string) => new X509Certificate(await readFile(join(directory, name)));
  const root = await read('ca.pem');
  for (const name of ['client', 'server']) {
    const leaf = await read(`${name}.pem`);
    t.ok(leaf.verify(root.publicKey));
    t.equal(leaf.subjectAltName, `URI:spiffe://cluster.local/ns/bench/sa/${name}`);
  }
});
