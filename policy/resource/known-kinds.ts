import type { ResourceKind } from './kind.ts';
import { travellingApiSchemaKind } from './kinds/api-schema.ts';
import { apiValidationPolicyKind } from './kinds/api-validation-policy.ts';
import { authorizationPolicyKind } from './kinds/authorization-policy.ts';
import { meshDefaultsKind } from './kinds/mesh-defaults.ts';
import { meshServiceKind } from './kinds/mesh-service.ts';
import { peerAuthenticationKind } from './kinds/peer-authentication.ts';
import { requestAuthenticationKind } from './kinds/request-authentication.ts';
import { revocationListKind } from './kinds/revocation-list.ts';
import { trustBundleKind } from './kinds/trust-bundle.ts';

/** The kinds of this version, in the form that travels. */
export const KINDS = {
  AuthorizationPolicy: authorizationPolicyKind,
  PeerAuthentication: peerAuthenticationKind,
  RequestAuthentication: requestAuthenticationKind,
  APISchema: travellingApiSchemaKind,
  APIValidationPolicy: apiValidationPolicyKind,
  MeshService: meshServiceKind,
  MeshDefaults: meshDefaultsKind,
} as const;

export type KindName = keyof typeof KINDS;

/** What the control plane alone makes, and every sidecar gets beside the resources of people. */
export const CONTROL_PLANE_KINDS = {
  TrustBundle: trustBundleKind,
  RevocationList: revocationListKind,
} as const;

export type ControlPlaneKindName = keyof typeof CONTROL_PLANE_KINDS;
export type ControlPlaneSpecOf<K extends ControlPlaneKindName> =
  (typeof CONTROL_PLANE_KINDS)[K] extends ResourceKind<infer Spec> ? Spec : never;

export type SpecOf<K extends KindName> = (typeof KINDS)[K] extends ResourceKind<infer Spec> ? Spec : never;

/** Kinds that Lateral will have, or knows of; each is an error at load, never ignored. */
export const PLANNED_KINDS: { readonly [kind: string]: readonly string[] } = {
  APIProtectionPolicy: ['lateral.dev/v1alpha1'],
  ObjectAccessPolicy: ['lateral.dev/v1alpha1'],
  RateLimitPolicy: ['lateral.dev/v1alpha1'],
  DataExposurePolicy: ['lateral.dev/v1alpha1'],
  WebhookSourcePolicy: ['lateral.dev/v1alpha1'],
  APIInventory: ['lateral.dev/v1alpha1'],
  HTTPRoute: ['gateway.networking.k8s.io/v1'],
  GRPCRoute: ['gateway.networking.k8s.io/v1'],
};

export function isKindName(name: string): name is KindName {
  return Object.hasOwn(KINDS, name);
}

export function isControlPlaneKindName(name: string): name is ControlPlaneKindName {
  return Object.hasOwn(CONTROL_PLANE_KINDS, name);
}
