import type { TokenJudge } from './authentication/judge-tokens.ts';
import type { ClaimPath } from './authentication/referred-claims.ts';
import type { Doubt } from './authorization/doubt.ts';
import type { ExternalRules } from './authorization/external-rules.ts';
import type { RuleTally } from './authorization/rule-tallies.ts';
import type { Code } from './error/codes.ts';
import type { RefusalFacts } from './error/refusal.ts';
import type { FlatHeaders } from './http/flat-headers.ts';
import type { SpiffeId } from './identity/spiffe-id.ts';
import type { PeerTrust } from './trust/peer-trust.ts';
import type { BodyFault } from './validation/body-fault.ts';
import type { ContentCoding } from './validation/decode/undo-coding.ts';
import type { BodyTask } from './validation/judge/body-task.ts';

/** Who a sidecar stands for. `labels` are what selectors match. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly labels: { readonly [key: string]: string };
}

/**
 * A workload whose law is compiled. `labels` undefined: whoever gave the resources has chosen them (the control plane, by
 * the labels of the Pod), so that all of them bind.
 */
export type BoundWorkload = Omit<Workload, 'labels'> & {
  readonly labels: Workload['labels'] | undefined;
  /** Names of the services, all of its namespace, that it stands behind. Absent: none, or none that a policy targets. */
  readonly services?: ReadonlySet<string>;
};

/** The mesh a workload is part of. */
export interface Mesh {
  readonly trustDomain: string;
  /** Namespace of mesh-wide resources; default `lateral-system`. */
  readonly rootNamespace: string;
  /** Further trust domains whose identities there may be: aliases, and those it federates with. A policy that names one is no slip. */
  readonly otherDomains?: readonly string[];
}

/** How ambiguous paths are treated; `Refuse` answers 400, the others are Istio's. */
export type PathNormalization = 'Refuse' | 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

/** STRICT: mutual TLS alone; PERMISSIVE: plaintext as well, whose callers have no identity; DISABLE: plaintext alone. */
export type MtlsMode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

/** By Node's names. */
export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** What one caller is refused within a minute before it is taken for an attack. 0: never. */
export interface DenialAlerts {
  readonly refusals: number;
  /** Different paths among them: somebody who looks what is there. */
  readonly distinctPaths: number;
}

/** MeshDefaults in force: the resource, or its defaults. */
export interface EffectiveDefaults {
  readonly authorizationDefault: 'Deny' | 'Allow';
  /** Refusals of one caller within a minute, beyond which an event says so. */
  readonly denialAlerts: DenialAlerts;
  /** Audit: nothing is refused by policy; what would have been is recorded. */
  readonly mode: 'Enforce' | 'Audit';
  /** Mutual TLS where no PeerAuthentication says otherwise. */
  readonly mtlsMode: MtlsMode;
  /** The oldest that is spoken with other workloads. */
  readonly minTlsVersion: TlsVersion;
  readonly outbound: 'RegistryOnly' | 'AllowAny';
  readonly pathNormalization: PathNormalization;
  /** Proxies whose `x-forwarded-for` is believed. */
  readonly trustedProxies: number;
}

/**
 * All that is the law for one workload at one version: compiled, read-only, used by every exchange
 * that began under it until it ends.
 */
export interface WorkloadPolicy {
  /** Hash of the resources it was compiled from; the same everywhere for the same resources. */
  readonly version: string;
  readonly defaults: EffectiveDefaults;
  readonly authorizer: Authorizer;
  /** Whose word is asked before; undefined: no CUSTOM policy binds the workload. */
  readonly external: ExternalRules | undefined;
  /** Whom to believe; undefined: the snapshot does not say (a folder's), and the roots of the own credentials are what counts. */
  readonly trust: PeerTrust | undefined;
  /** Absent: no RequestAuthentication binds the workload, and nobody looks at tokens. */
  readonly authentication: TokenJudge | undefined;
  /** How callers of this port of the app must prove themselves. */
  mtlsMode(appPort: number): MtlsMode;
  /** Absent: no APIValidationPolicy binds the workload. */
  readonly validation: RequestValidation | undefined;
  readonly services: ServiceRegistry;
  /** Lower-case names of the headers that some policy refers to: the `inputs` of the access log. */
  readonly referredHeaders: readonly string[];
  /** The claims that some policy refers to, by the names that lead to them: likewise. */
  readonly referredClaims: readonly ClaimPath[];
}

/** What the token of a request says, once it is verified. */
export interface RequestClaims {
  /** ISSUER/SUBJECT. */
  readonly principal: string;
  readonly audiences: readonly string[];
  /** `azp`. */
  readonly presenter: string | undefined;
  /** All claims, by their names. */
  readonly all: { readonly [name: string]: unknown };
}

/** What authorization sees of a request. For a TCP connection method, path, host are undefined. */
export interface AuthorizationRequest {
  /** The proven caller; null: plaintext or no certificate. */
  readonly source: SpiffeId | null;
  readonly method: string | undefined;
  /** Normalized, without the query. */
  readonly path: string | undefined;
  /** Without its `?`; undefined: none. */
  readonly query?: string | undefined;
  /** The authority as sent. */
  readonly host: string | undefined;
  readonly headers: FlatHeaders;
  /** The app's port. */
  readonly port: number;
  /** The peer's address. */
  readonly sourceIp: string | undefined;
  /** The address of the client, behind as many proxies as are trusted; the peer's where none is. */
  readonly remoteIp: string | undefined;
  readonly destinationIp?: string | undefined;
  /** The name that the caller asked for in its TLS handshake. */
  readonly sni: string | undefined;
  /** Undefined: no valid token came. */
  readonly claims: RequestClaims | undefined;
}

export type AuthorizationDecision =
  | {
      readonly kind: 'allow';
      readonly policy: string | undefined;
      readonly rule: number | undefined;
      /** Why, in one sentence for the operator. */
      readonly reason: string;
    }
  | {
      readonly kind: 'deny';
      readonly code: Code;
      /** NAMESPACE/NAME of the deciding policy, or of the one nearest to a match. */
      readonly policy: string | undefined;
      readonly rule: number | undefined;
      /** The rule that decided, or the nearest miss with its failing clause. */
      readonly reason: string;
    };

/** How many more denials may be explained. */
export interface ExplanationBudget {
  /** True: this one may, and is counted. */
  take(request: AuthorizationRequest): boolean;
}

/** What policies that enforce nothing say of a request. */
export interface Observation {
  /** The first rule of an AUDIT policy that matches it. */
  readonly audited: { readonly policy: string; readonly index: number } | undefined;
  /** What would be decided if the policies on trial were in force; undefined: the same. */
  readonly trial: AuthorizationDecision | undefined;
}

/** Decides whether a caller may make a request; pure but for the tallies of its rules. MeshDefaults.mode is applied by the caller. */
export interface Authorizer {
  /** All that it judges by, with what counts their matches. */
  readonly rules: readonly { readonly tally: RuleTally; readonly index: number }[];
  decide(request: AuthorizationRequest): AuthorizationDecision;
  /** The decisions that a request may have of which not all is known; one alone is certain. */
  possible(request: AuthorizationRequest, doubt: Doubt): readonly AuthorizationDecision[];
  /**
   * A decision of the same request, told in full: a denial for want of a match with the rule that came nearest to one, and the
   * clause of it that failed. It costs more than the decision; where `budget` has none left the reason says so instead.
   */
  explain(
    decision: AuthorizationDecision,
    request: AuthorizationRequest,
    budget?: ExplanationBudget,
  ): AuthorizationDecision;
  /** Beside the decision of the same request; undefined: there is nothing to be noted. Absent: no policy could say anything. */
  readonly observe?: (decision: AuthorizationDecision, request: AuthorizationRequest) => Observation | undefined;
}

/** What validation sees of a request before its body. */
export interface RequestParts {
  readonly method: string;
  /** Normalized, without the query. */
  readonly path: string;
  /** The query without its `?`; empty: none. */
  readonly query: string;
  readonly headers: FlatHeaders;
  /** False when the message has no body by its framing (no content-length above 0, not chunked). */
  readonly hasBody: boolean;
  /** Bytes of the body where the sender declared them. */
  readonly contentLength: number | undefined;
  /** The proven caller; absent: it has no identity. Who may be told what is wrong with its request is a matter of the policy. */
  readonly source?: SpiffeId | null | undefined;
}

/** A fault that validation found: refused in Enforce mode, recorded in Audit. */
export interface Finding {
  readonly effect: 'refuse' | 'audit';
  readonly code: Code;
  readonly reason: string;
  readonly facts: RefusalFacts;
}

export interface HeaderField {
  readonly name: string;
  readonly value: string;
}

/** Judgement of everything but the body. */
export interface HeadJudgement {
  /** Path template of the operation, for spans (`http.route`), e.g. `/orders/{id}`. */
  readonly route: string | undefined;
  /** In the order found; the first that refuses decides. */
  readonly findings: readonly Finding[];
  /** Absent: the body is passed on as it comes. */
  readonly body: BodyPlan | undefined;
  /** Of a gRPC call whose messages are judged as they come; absent: they are not. */
  readonly messages?: MessagePlan | undefined;
  /** Of a body that is not read and whose length nobody told; absent: it may be of any, or is known to be short enough. */
  readonly length?: LengthPlan | undefined;
  /** The operation is to be left for another; absent: it is not. */
  readonly isDeprecated?: boolean | undefined;
  /** Header fields to be told with the response. */
  readonly notices?: readonly HeaderField[] | undefined;
  /** Absent: responses pass as they come. */
  readonly responses?: ResponseValidation | undefined;
}

/** What of a response is judged when its head has come. */
export interface ResponseParts {
  readonly status: number;
  readonly headers: FlatHeaders;
  /** It answers HEAD: no body follows, whatever the headers say. */
  readonly isHead: boolean;
  readonly hasBody: boolean;
  /** Bytes of the body where the sender declared them. */
  readonly contentLength: number | undefined;
}

/** Judgement of a response's head. */
export interface ResponseJudgement {
  /** In the order found; the first that refuses decides. */
  readonly findings: readonly Finding[];
  /** Absent: the body is passed on as it comes. Enforced: it is held; else it is watched. */
  readonly body: BodyPlan | undefined;
  /** Of a gRPC call whose messages are judged as they come; absent: they are not. */
  readonly messages?: MessagePlan | undefined;
}

/** Validation of the responses of one operation. */
export interface ResponseValidation {
  /** Something of a response is refused where it does not fit: nothing of it is told before. */
  readonly isEnforced: boolean;
  judgeHead(response: ResponseParts): ResponseJudgement;
}

/** How long a body may be. */
export interface LengthPlan {
  /** `limits.bodyBytes`: more is `body_too_large`. */
  readonly maxBytes: number;
  /** False: nothing is refused, also not what could not be judged. */
  readonly isEnforced: boolean;
  /** The finding for a body over the limit. */
  tooLarge(bytes: number): Finding;
}

/** How the body is to be read and judged. */
export interface BodyPlan extends LengthPlan {
  /** What must be undone to look at the body, `maxBytes` holding for what comes out of it as well; undefined: nothing. */
  readonly coding: ContentCoding | undefined;
  /** Judges the whole body; an absent body is an empty buffer. */
  judge(body: Buffer): readonly Finding[];
  /** The same with a bound on the work, in the units of work-budget.ts; undefined: it takes more. */
  judgeWithin(body: Buffer, maxWork: number): readonly Finding[] | undefined;
  /** What another thread needs to judge the body; its verdict becomes findings by `found`. */
  readonly task: BodyTask;
  found(fault: BodyFault | undefined): readonly Finding[];
  /** Of a form whose files stream; absent: the body is held whole. */
  readonly form?: FormPlan | undefined;
}

/** How a form is read whose files go on as they come: what is judged is the form without what they hold. */
export interface FormPlan {
  readonly boundary: string;
  /** `limits.fileBytes`, of all files together. */
  readonly maxFileBytes: number;
  /** By the name of a part: what it holds is not looked at. */
  isFile(name: string): boolean;
  tooLarge(fileBytes: number): Finding;
  malformed(reason: string): readonly Finding[];
}

/** How the messages of one direction of a gRPC call are to be judged, each by itself. */
export interface MessagePlan {
  /** False: one message at most. */
  readonly isStream: boolean;
  readonly plain: BodyPlan;
  /** Of messages that say they are compressed; undefined: in a way that cannot be undone, or in none. */
  readonly coded: BodyPlan | undefined;
}

/** Request validation of one workload; pure, compiled once a version. */
export interface RequestValidation {
  /** NAMESPACE/NAME of the policy in force. */
  readonly policy: string;
  /** False: it is in Audit mode, and refuses nothing. */
  readonly isEnforced: boolean;
  judgeHead(request: RequestParts): HeadJudgement;
}

/** What is spoken on a port; `auto`: whatever its connections turn out to speak. */
export type ServiceProtocol = 'http' | 'grpc' | 'tcp' | 'auto';

/** Where a service runs, as one of its ports is reached there. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  /**
   * The identity its certificate must prove; undefined: it is reached in plaintext, being outside of the mesh, or DISABLE for
   * this port.
   */
  readonly identity: SpiffeId | undefined;
  /** False: it is outside of the mesh. */
  readonly hasSidecar: boolean;
  readonly labels: { readonly [key: string]: string };
}

/** One port of a service. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** `auto` also where the service does not say. */
  readonly protocol: ServiceProtocol;
  readonly endpoints: readonly Endpoint[];
}

/** The services a workload can call. */
export interface ServiceRegistry {
  /**
   * Finds a service by the request's authority: with its port first, then without it; without regard
   * to case; a bare name for callers of its own namespace. HOSTNAME.HOST is the endpoint of that hostname alone.
   * Undefined: not of the mesh.
   */
  resolve(authority: string): Service | undefined;
  /**
   * Finds a service by where a connection was going: an address among its hosts, with the ports of the service; else the
   * endpoint that has this very address and port, alone. Undefined: not of the mesh.
   */
  resolveAddress(address: string, port: number): Service | undefined;
  /**
   * What the app behind this address and port of an own endpoint speaks, by the services of the workload's own namespace;
   * undefined: none of them has it.
   */
  protocolOf(address: string, appPort: number): ServiceProtocol | undefined;
}
