import { resourceDocument } from '#policy/resource/resource-document.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';
import type { RevocationEntries } from './revocations.ts';

/** Name of the one of each kind, in the root namespace. */
export const TRUST_DOCUMENT_NAME = 'mesh';
const API_VERSION = 'lateral.dev/v1alpha1';

/** A trust domain and its roots; DER. */
export interface TrustedDomain {
  readonly trustDomain: string;
  readonly roots: readonly Buffer[];
}

/** Whom every sidecar trusts: the own domain first, then those it federates with. Equal trust has equal versions in all replicas. */
export function trustBundleDocument(
  mesh: Mesh,
  roots: readonly Buffer[],
  federated: readonly TrustedDomain[],
  aliases: readonly string[],
): ResourceDocument {
  const domains = [{ trustDomain: mesh.trustDomain, roots }, ...federated].map((domain) => ({
    trustDomain: domain.trustDomain,
    roots: domain.roots.map((root) => certificatesToPem([root])),
  }));
  return documentOf('TrustBundle', mesh, { domains, aliases: [...aliases] });
}

/** Whom no sidecar believes, in an order of its own: equal lists have equal versions. */
export function revocationListDocument(mesh: Mesh, { identities, serials }: RevocationEntries): ResourceDocument {
  const at = (ms: number) => new Date(ms).toISOString();
  return documentOf('RevocationList', mesh, {
    identities: identities.map(({ id, atMs }) => ({ id, at: at(atMs) })).sort((one, other) => order(one.id, other.id)),
    serials: serials
      .map(({ serial, atMs, untilMs }) => ({ serial, at: at(atMs), until: at(untilMs) }))
      .sort((one, other) => order(one.serial, other.serial)),
  });
}

function documentOf(kind: string, { rootNamespace }: Mesh, spec: unknown): ResourceDocument {
  return resourceDocument({ apiVersion: API_VERSION, kind, namespace: rootNamespace, name: TRUST_DOCUMENT_NAME, spec });
}

function order(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
