import { parseSpiffeId } from '../../identity/spiffe-id.ts';
import { type Infer, list, object, required, string } from '../../schema/schema.ts';
import type { ResourceKind } from '../kind.ts';

/** Revocations of each sort that are in force at once. */
export const MAX_REVOCATIONS = 4_096;

const time = (description: string) =>
  string({
    maxLength: 40,
    description: `${description} ISO 8601.`,
    check: (value) => (Number.isNaN(Date.parse(value)) ? `${JSON.stringify(value)} is not a time` : undefined),
  });

const spiffeIdText = string({
  description: 'A SPIFFE ID.',
  check: (value) => {
    const parsed = parseSpiffeId(value);
    return parsed.kind === 'valid' ? undefined : parsed.reason;
  },
});

const serialText = string({
  description: 'A serial number, in lower-case hexadecimal digits.',
  check: (value) =>
    /^[0-9a-f]{1,40}$/.test(value) ? undefined : `${JSON.stringify(value)} is not of 1 to 40 lower-case hex digits`,
});

const revocationListSpec = object({
  identities: required(
    list(object({ id: required(spiffeIdText), at: required(time('Since when.')) }), { maxItems: MAX_REVOCATIONS }),
  ),
  serials: required(
    list(
      object({
        serial: required(serialText),
        at: required(time('Since when.')),
        until: required(time('When the certificate ends, and with it the need to refuse it.')),
      }),
      { maxItems: MAX_REVOCATIONS },
    ),
  ),
});

export type RevocationListSpec = Infer<typeof revocationListSpec>;

/** Who is not to be believed, whatever it proves. The control plane makes it; people do not. */
export const revocationListKind: ResourceKind<RevocationListSpec> = {
  kind: 'RevocationList',
  plural: 'revocationlists',
  apiVersions: ['lateral.dev/v1alpha1'],
  spec: revocationListSpec,
  description: 'Identities and serial numbers of certificates that are refused.',
};
