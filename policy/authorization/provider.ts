import type { ExtensionProviderSpec } from '../resource/kinds/extension-provider.ts';

/** Path of every check by gRPC. Source: Envoy, `envoy.service.auth.v3`. */
export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** Of which headers: exact names, prefixes and suffixes, in lower case. */
export interface HeaderPatterns {
  readonly exact: ReadonlySet<string>;
  readonly prefixes: readonly string[];
  readonly suffixes: readonly string[];
}

/** What is asked over HTTP, besides what is asked in any way. */
export interface HttpChecking {
  readonly pathPrefix: string;
  readonly told: HeaderPatterns;
  /** Set on each check, over what the request says. */
  readonly added: readonly (readonly [name: string, value: string])[];
  readonly toUpstream: HeaderPatterns;
  readonly toCallerOnAllow: HeaderPatterns;
  /** Undefined: all. */
  readonly toCallerOnDeny: HeaderPatterns | undefined;
}

/** Who decides in place of a policy, and how it is asked. */
export interface Provider {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly failOpen: boolean;
  /** HTTP status where it cannot be asked. */
  readonly statusOnError: number;
  /** Undefined: no body is told. */
  readonly body: { readonly maxBytes: number; readonly allowsPart: boolean; readonly asBytes: boolean } | undefined;
  /** Undefined: it is asked by gRPC. */
  readonly http: HttpChecking | undefined;
}

const DEFAULT_STATUS_ON_ERROR = 403;

/** The providers of MeshDefaults, by name. */
export function compileProviders(specs: readonly ExtensionProviderSpec[] = []): ReadonlyMap<string, Provider> {
  return new Map(specs.flatMap((spec) => compileProvider(spec) ?? []).map((provider) => [provider.name, provider]));
}

function compileProvider({ name, envoyExtAuthzGrpc, envoyExtAuthzHttp }: ExtensionProviderSpec): Provider | undefined {
  const common = envoyExtAuthzGrpc ?? envoyExtAuthzHttp;
  if (common === undefined) return undefined;
  const [host = '', namespace] = common.service.split('/').reverse();
  const body = common.includeRequestBodyInCheck;
  return {
    name,
    namespace,
    host,
    port: common.port,
    timeoutMs: common.timeout,
    failOpen: common.failOpen,
    statusOnError: Number(common.statusOnError ?? DEFAULT_STATUS_ON_ERROR),
    body:
      body === undefined
        ? undefined
        : { maxBytes: body.maxRequestBytes, allowsPart: body.allowPartialMessage, asBytes: body.packAsBytes },
    http: envoyExtAuthzHttp === undefined ? undefined : compileHttp(envoyExtAuthzHttp),
  };
}

/** Told in any case. Source: Envoy, of the HTTP client of ext_authz; Host and the length are made with each check. */
const ALWAYS_TOLD = ['authorization'];
/** What a refusal is not understood without. Source: Envoy, allowed_client_headers. */
const ALWAYS_ON_DENY = ['www-authenticate', 'location'];

function compileHttp(http: NonNullable<ExtensionProviderSpec['envoyExtAuthzHttp']>): HttpChecking {
  const told = [...ALWAYS_TOLD, ...(http.includeHeadersInCheck ?? []), ...(http.includeRequestHeadersInCheck ?? [])];
  const onDeny = http.headersToDownstreamOnDeny;
  return {
    pathPrefix: http.pathPrefix ?? '',
    told: compilePatterns(told),
    added: Object.entries(http.includeAdditionalHeadersInCheck ?? {}).map(([name, value]) => [
      name.toLowerCase(),
      value,
    ]),
    toUpstream: compilePatterns(http.headersToUpstreamOnAllow),
    toCallerOnAllow: compilePatterns(http.headersToDownstreamOnAllow),
    toCallerOnDeny:
      onDeny === undefined || onDeny.length === 0 ? undefined : compilePatterns([...onDeny, ...ALWAYS_ON_DENY]),
  };
}

function compilePatterns(patterns: readonly string[] = []): HeaderPatterns {
  const lower = patterns.map((pattern) => pattern.toLowerCase());
  return {
    exact: new Set(lower.filter((pattern) => !pattern.startsWith('*') && !pattern.endsWith('*'))),
    prefixes: lower.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1)),
    suffixes: lower.filter((pattern) => pattern.startsWith('*')).map((pattern) => pattern.slice(1)),
  };
}

export function matchesHeader({ exact, prefixes, suffixes }: HeaderPatterns, lowerName: string): boolean {
  if (exact.has(lowerName)) return true;
  return (
    prefixes.some((prefix) => lowerName.startsWith(prefix)) || suffixes.some((suffix) => lowerName.endsWith(suffix))
  );
}
