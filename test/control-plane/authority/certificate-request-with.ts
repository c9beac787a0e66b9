import { generateKeyPairSync } from 'node:crypto';
import {
  bits,
  boolean,
  decodeDer,
  encodeDer,
  integer,
  octets,
  oid,
  sequence,
  set,
  tagged,
  taggedBytes,
} from '#policy/x509/der.ts';
import { EMPTY_NAME } from '#policy/x509/names.ts';
import { signed } from '#policy/x509/signature.ts';

const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALT_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';

export interface RequestedNames {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly isAuthority?: boolean;
}

/** A certificate request of a new P-256 key, signed by it, that asks for these; none: as sidecars ask. */
export function requestFor({ uris = [], dnsNames = [], isAuthority = false }: RequestedNames = {}): Buffer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = [
    ...dnsNames.map((name) => taggedBytes(2, Buffer.from(name))),
    ...uris.map((uri) => taggedBytes(6, Buffer.from(uri))),
  ];
  const extension = (type: string, value: ReturnType<typeof sequence>) => sequence(oid(type), octets(encodeDer(value)));
  const extensions = [
    ...(names.length === 0 ? [] : [extension(SUBJECT_ALT_NAME, sequence(...names))]),
    ...(isAuthority
      ? [extension(BASIC_CONSTRAINTS, sequence(boolean(true))), extension(KEY_USAGE, bits(Buffer.of(0x06), 1))]
      : []),
  ];
  const attributes = extensions.length === 0 ? [] : [sequence(oid(EXTENSION_REQUEST), set(sequence(...extensions)))];
  const keyInfo = decodeDer(publicKey.export({ type: 'spki', format: 'der' }));
  return signed(sequence(integer(Buffer.of(0)), EMPTY_NAME, keyInfo, tagged(0, ...attributes)), privateKey);
}
