import t from 'tap';
import { type DistributedResource, readDistributedResource } from '#policy/resource/read-resource.ts';
import { textContext } from '#policy/schema/document-context.ts';
import { TrustMemory } from '#policy/trust/trust-memory.ts';
import { TestAuthority } from '../../support/certificates.ts';

const MESH = { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' };

function resource(kind: string, spec: object): DistributedResource {
  const metadata = { name: 'mesh', namespace: MESH.rootNamespace };
  const reasons: string[] = [];
  const document = { apiVersion: 'lateral.dev/v1alpha1', kind, metadata, spec };
  const read = readDistributedResource(document, MESH, textContext(reasons, kind));
  if (read === undefined) throw new Error(reasons.join('\n'));
  return read;
}

t.test('the roots are read once while the bundle is the same, whatever is revoked', (t) => {
  const domains = [{ trustDomain: 'cluster.local', roots: [new TestAuthority().rootPem] }];
  const bundle = resource('TrustBundle', { domains, aliases: [] });
  const id = 'spiffe://cluster.local/ns/a/sa/b';
  const revoking = resource('RevocationList', { identities: [{ id, at: '2026-01-01T00:00:00Z' }], serials: [] });
  const memory = new TrustMemory();
  const before = memory.of([bundle]);
  const after = memory.of([bundle, revoking]);
  t.equal(before?.revocationOf(id, ''), undefined);
  t.match(after?.revocationOf(id, ''), /revoked/);
  t.equal(after?.rootsOf('cluster.local'), before?.rootsOf('cluster.local'));
  t.equal(memory.of([bundle, revoking]), after);
  const another = resource('TrustBundle', { domains: [{ ...domains[0], roots: [new TestAuthority().rootPem] }] });
  const other = memory.of([another, revoking]);
  t.not(
    other?.rootsOf('cluster.local')?.[0]?.der.equals(before?.rootsOf('cluster.local')?.[0]?.der ?? Buffer.of()),
    true,
  );
  t.match(other?.revocationOf(id, ''), /revoked/);
  t.end();
});
