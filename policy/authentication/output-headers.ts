import { dashedName } from '../http/dashed-name.ts';
import type { FlatHeaders } from '../http/flat-headers.ts';
import { type JsonWebToken, payloadText } from './json-web-token.ts';
import { claimAt } from './request-claims.ts';
import type { TokenRule } from './token-rule.ts';

/** Headers that say to the app what a verified token says. Source: Istio, outputPayloadToHeader and outputClaimToHeaders. */
export function outputHeaders(rule: TokenRule, token: JsonWebToken, text: string): FlatHeaders {
  const headers: string[] = [];
  if (rule.payloadHeader !== undefined) headers.push(rule.payloadHeader, payloadText(text));
  for (const { header, claim } of rule.claimHeaders) {
    const value = headerText(
      Object.hasOwn(token.payload, claim) ? token.payload[claim] : claimAt(token.payload, claim.split('.')),
    );
    if (value !== undefined) headers.push(header, value);
  }
  return headers;
}

/**
 * Without the fields that only verified tokens may set: what a caller sends under these names must not be believed, nor what an app may
 * take for them. `dashedNames`: by `dashedName`.
 */
export function withoutOutputs(headers: FlatHeaders, dashedNames: ReadonlySet<string>): FlatHeaders {
  const isOutput = (index: number) => dashedNames.has(dashedName(headers[index - (index % 2)]?.toLowerCase() ?? ''));
  return headers.some((_, index) => isOutput(index)) ? headers.filter((_, index) => !isOutput(index)) : headers;
}

/** What no header may have: control characters would end it, or the connection. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Text, numbers and truth as they are, lists and objects as JSON in base64 (Envoy, jwt_authn); undefined: no header can hold it. */
function headerText(claim: unknown): string | undefined {
  if (claim === undefined || claim === null) return undefined;
  if (typeof claim === 'object') return Buffer.from(JSON.stringify(claim)).toString('base64');
  const text = String(claim);
  // the bytes of UTF-8, one a character, as codecs take them
  return CONTROL.test(text) ? undefined : Buffer.from(text, 'utf8').toString('latin1');
}
