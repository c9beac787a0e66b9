import type { Code } from '#policy/error/codes.ts';
import type { PeerUse, VerificationTrust } from '#policy/x509/verify-peer.ts';
import { ext, uri } from './build-certificate.ts';
import { leafExtensions, makeIssuer, makeLeaf, makeRoot, type TestIssuer, trusting, WEB } from './mesh-certificates.ts';

/** What is shown, and how it is refused. */
export interface Row {
  readonly chain: readonly Buffer[];
  readonly code: Code;
  readonly reason: RegExp;
  /** Absent: in the root below. */
  readonly trust?: VerificationTrust;
  readonly nowMs?: number;
  /** Absent: refused as either. */
  readonly uses?: readonly PeerUse[];
}

export type Rows = { readonly [what: string]: Row };

export const root = makeRoot();
export const stranger = makeRoot('Stranger');
/** Another of the same name. */
export const namesake = makeRoot('Root');
export const federated = makeRoot('Federated');

export const trustIn = (...roots: readonly TestIssuer[]) => trusting({ 'cluster.local': roots });
export const trust = trustIn(root);
export const below = (issuer: TestIssuer, ...others: readonly TestIssuer[]) => [
  makeLeaf(issuer),
  issuer.certificate,
  ...others.map(({ certificate }) => certificate),
];
export const name = ext.names(uri(WEB));
export const leafOf = (id: string) => [makeLeaf(root, { extensions: leafExtensions(uri(id)) })];
export const leafWith = (...extensions: readonly Buffer[]) => [makeLeaf(root, { extensions })];
export const constrainedBy = (permitted: readonly Buffer[], excluded: readonly Buffer[] = []) =>
  below(
    makeIssuer(root, 'Bounded', { extensions: [ext.authority(), ext.signing(), ext.constraints(permitted, excluded)] }),
  );
