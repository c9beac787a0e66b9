import { MAX_KEY_SET_BYTES, readKeySet } from '../../authentication/key-set.ts';
import { dashedName } from '../../http/dashed-name.ts';
import { istioDuration } from '../../schema/istio-duration.ts';
import {
  boolean,
  described,
  type Infer,
  list,
  object,
  optional,
  type Path,
  type ReadContext,
  refined,
  required,
  string,
} from '../../schema/schema.ts';

/** Entries of the lists of one rule. */
const MAX_ENTRIES = 100;
const MAX_AUDIENCES = 1_000;
/** For the whole answer of a server of keys. */
export const DEFAULT_JWKS_TIMEOUT_MS = 5_000;
const MAX_JWKS_TIMEOUT_MS = 60_000;

/** RFC 9110 §5.6.2. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** As Istio has it for headers that are written. */
const OUTPUT_NAME = /^[-_A-Za-z0-9]+$/;
/** What belongs to the connection, to the message's framing, or to the sidecar: no claim may be written over it. */
const RESERVED: ReadonlySet<string> = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'keep-alive',
  'proxy-connection',
  'x-forwarded-client-cert',
  'traceparent',
  'tracestate',
  'x-request-id',
  'grpc-timeout',
  'content-type',
]);

const fieldName = (description: string) =>
  string({
    description,
    maxLength: 256,
    pattern: FIELD_NAME,
    check: (value) =>
      FIELD_NAME.test(value) ? undefined : `${JSON.stringify(value)} is not a header name (RFC 9110 §5.6.2)`,
  });

const outputName = (description: string) =>
  string({
    description,
    maxLength: 256,
    pattern: OUTPUT_NAME,
    check: (value) => {
      if (!OUTPUT_NAME.test(value)) return `${JSON.stringify(value)} is not a header name: letters, digits, - and _`;
      return RESERVED.has(dashedName(value.toLowerCase()))
        ? `${value} is not a header that a claim may be written to`
        : undefined;
    },
  });

const keysUrl = string({
  description:
    'Where the keys (a JWK set) are fetched from, by http or https; kept, and fetched again in the background. Neither this nor jwks: by the OpenID configuration of the issuer.',
  maxLength: 2048,
  check: (value) => (isHttpUrl(value) ? undefined : `${JSON.stringify(value)} is not an http:// or https:// URL`),
});

const jwtRuleFields = object({
  issuer: required(
    string({
      description: '`iss` of the tokens, to the letter; what names another issuer is refused.',
      maxLength: 2048,
    }),
  ),
  audiences: optional(
    described(
      list(string(), { maxItems: MAX_AUDIENCES }),
      'One of them must be in `aud` (http://, https:// and a last slash are no part of either). Absent: any.',
    ),
  ),
  jwksUri: optional(keysUrl),
  jwks_uri: optional(described(keysUrl, 'The same as jwksUri.')),
  jwks: optional(string({ description: 'The keys themselves: a JWK set, as text.', maxLength: MAX_KEY_SET_BYTES })),
  fromHeaders: optional(
    described(
      list(
        object({
          name: required(fieldName('Name of the header.')),
          prefix: optional(
            string({ description: 'What comes before the token, its space included.', minLength: 0, maxLength: 256 }),
          ),
        }),
        { maxItems: MAX_ENTRIES },
      ),
      'Headers that hold the token. Where no place is named at all: `Authorization`, with the prefix `Bearer `.',
    ),
  ),
  fromParams: optional(
    described(
      list(string({ maxLength: 256 }), { maxItems: MAX_ENTRIES }),
      'Query parameters that hold the token; none is taken from a query otherwise.',
    ),
  ),
  fromCookies: optional(
    described(list(string({ maxLength: 256 }), { maxItems: MAX_ENTRIES }), 'Cookies that hold the token.'),
  ),
  outputPayloadToHeader: optional(
    outputName('Header by which the app gets the claims, in base64url; what callers send under this name is removed.'),
  ),
  outputClaimToHeaders: optional(
    described(
      list(
        object({
          header: required(outputName('Header to write; what callers send under this name is removed.')),
          claim: required(string({ description: 'Name of the claim; dots lead into objects.', maxLength: 256 })),
        }),
        { maxItems: MAX_ENTRIES },
      ),
      'Headers by which the app gets single claims: text, numbers and truth as they are, all else as JSON in base64.',
    ),
  ),
  forwardOriginalToken: optional(boolean('The app gets the token too. Default: false, it is taken out.')),
  timeout: optional(
    istioDuration({
      minimumMs: 1,
      maximumMs: MAX_JWKS_TIMEOUT_MS,
      description: 'For the whole answer of the server of the keys. Default 5s.',
    }),
  ),
});

export type JwtRule = Infer<typeof jwtRuleFields>;

/** Whose tokens are accepted, where they stand, and what becomes of them. Source: Istio, JWTRule. */
export const jwtRule = refined(jwtRuleFields, isSound);

/** Where the issuer's OpenID configuration stands (OpenID Connect Discovery §4); undefined: the issuer is no URL. */
export function discoveryUrl(issuer: string): string | undefined {
  return isHttpUrl(issuer) ? `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration` : undefined;
}

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') && url.username === '';
}

function isSound(rule: JwtRule, path: Path, context: ReadContext): boolean {
  const { jwks, issuer } = rule;
  const given = (['jwks', 'jwksUri', 'jwks_uri'] as const).filter((name) => rule[name] !== undefined);
  if (given.length > 1) {
    context.fail([...path, given[1] ?? ''], 'invalid_value', 'only one of jwks and jwksUri can be set', 'key');
    return false;
  }
  if (given.length === 0 && discoveryUrl(issuer) === undefined) {
    const message = `neither jwks nor jwksUri, and the issuer is no URL whose OpenID configuration would name the keys: its tokens will be refused`;
    context.warn([...path, 'issuer'], 'suspicious_value', message);
  }
  return hasOwnHeaders(rule, path, context) && (jwks === undefined || areKeys(jwks, [...path, 'jwks'], context));
}

function areKeys(jwks: string, path: Path, context: ReadContext): boolean {
  const keys = readKeySet(jwks, { secrets: true });
  if (typeof keys === 'string') {
    context.fail(path, 'invalid_value', keys);
    return false;
  }
  const message = 'none of these keys can verify a signature: its tokens will be refused';
  if (keys.keys.length === 0) context.warn(path, 'suspicious_value', message);
  return true;
}

function hasOwnHeaders(rule: JwtRule, path: Path, context: ReadContext): boolean {
  const seen = new Set(rule.outputPayloadToHeader === undefined ? [] : [rule.outputPayloadToHeader.toLowerCase()]);
  for (const [index, { header }] of (rule.outputClaimToHeaders ?? []).entries()) {
    const name = header.toLowerCase();
    if (seen.has(name)) {
      const place = [...path, 'outputClaimToHeaders', index, 'header'];
      context.fail(place, 'invalid_value', `${header} is written twice`);
      return false;
    }
    seen.add(name);
  }
  return true;
}
