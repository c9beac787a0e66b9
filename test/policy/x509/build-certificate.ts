import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

/** DER by hand, so that tests can say what no program of good manners would. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content]);
  const bytes = content.length < 0x100 ? 1 : content.length < 0x10000 ? 2 : 3;
  const length = Buffer.alloc(bytes);
  length.writeUIntBE(content.length, 0, bytes);
  return Buffer.concat([Buffer.of(tag, 0x80 | bytes), length, content]);
}

export const sequence = (...parts: readonly Uint8Array[]) => der(0x30, ...parts);
export const octets = (...parts: readonly Uint8Array[]) => der(0x04, ...parts);
export const bits = (unused: number, ...bytes: readonly number[]) => der(0x03, Buffer.of(unused, ...bytes));
export const TRUE = der(0x01, Buffer.of(0xff));
export const FALSE = der(0x01, Buffer.of(0));
export const NULL = der(0x05);

export function integer(value: number | Uint8Array): Buffer {
  const bytes = typeof value === 'number' ? Buffer.of(value) : Buffer.from(value);
  return der(0x02, (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.of(0), bytes]));
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(0x06, Buffer.from(bytes));
}

export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return Number(digits.slice(0, 4)) < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

export const commonName = (text: string) => sequence(der(0x31, sequence(oid('2.5.4.3'), der(0x0c, Buffer.from(text)))));
export const NO_NAME = sequence();

export function extension(identifier: string, isCritical: boolean, value: Uint8Array): Buffer {
  return sequence(oid(identifier), ...(isCritical ? [TRUE] : []), octets(value));
}

const ia5 = (tag: number) => (text: string) => der(tag, Buffer.from(text, 'latin1'));
export const uri = ia5(0x86);
export const dns = ia5(0x82);
export const email = ia5(0x81);
export const ip = (...bytes: readonly number[]) => der(0x87, Buffer.from(bytes));
export const directory = (name: Buffer) => der(0xa4, name);
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** The extensions that are in use, with the criticality that they usually have. */
export const ext = {
  authority: (pathLength?: number) =>
    extension('2.5.29.19', true, sequence(TRUE, ...(pathLength === undefined ? [] : [integer(pathLength)]))),
  noAuthority: () => extension('2.5.29.19', true, sequence()),
  names: (...names: readonly Buffer[]) => extension('2.5.29.17', true, sequence(...names)),
  digitalSignature: () => extension('2.5.29.15', true, bits(7, 0x80)),
  keyEncipherment: () => extension('2.5.29.15', true, bits(5, 0x20)),
  signing: () => extension('2.5.29.15', true, bits(1, 0x06)),
  usages: (...oids: readonly string[]) => extension('2.5.29.37', false, sequence(...oids.map(oid))),
  keyIdentifier: (bytes: Buffer) => extension('2.5.29.14', false, octets(bytes)),
  issuerKeyIdentifier: (bytes: Buffer) => extension('2.5.29.35', false, sequence(der(0x80, bytes))),
  constraints(permitted: readonly Buffer[], excluded: readonly Buffer[] = []) {
    const subtrees = (tag: number, bases: readonly Buffer[]) =>
      bases.length === 0 ? [] : [der(tag, ...bases.map((base) => sequence(base)))];
    return extension('2.5.29.30', true, sequence(...subtrees(0xa0, permitted), ...subtrees(0xa1, excluded)));
  },
};

export interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export const ecPair = (namedCurve = 'P-256'): Pair => generateKeyPairSync('ec', { namedCurve });
export const rsaPair = (modulusLength: number): Pair => generateKeyPairSync('rsa', { modulusLength });
export const spki = ({ publicKey }: Pair): Buffer => publicKey.export({ type: 'spki', format: 'der' });

export interface Algorithm {
  readonly hash: string | null;
  readonly identifier: Buffer;
}

const plain = (dotted: string) => sequence(oid(dotted));
const withNull = (dotted: string) => sequence(oid(dotted), NULL);
export const ALGORITHM = {
  ecdsaSha256: { hash: 'sha256', identifier: plain('1.2.840.10045.4.3.2') },
  ecdsaSha384: { hash: 'sha384', identifier: plain('1.2.840.10045.4.3.3') },
  ecdsaSha512: { hash: 'sha512', identifier: plain('1.2.840.10045.4.3.4') },
  ecdsaSha1: { hash: 'sha1', identifier: plain('1.2.840.10045.4.1') },
  rsaSha256: { hash: 'sha256', identifier: withNull('1.2.840.113549.1.1.11') },
  rsaSha256WithoutNull: { hash: 'sha256', identifier: plain('1.2.840.113549.1.1.11') },
  rsaSha1: { hash: 'sha1', identifier: withNull('1.2.840.113549.1.1.5') },
  rsaMd5: { hash: 'md5', identifier: withNull('1.2.840.113549.1.1.4') },
  ed25519: { hash: null, identifier: plain('1.3.101.112') },
} as const satisfies { readonly [name: string]: Algorithm };

export interface Content {
  readonly version?: Buffer;
  readonly serial?: Buffer;
  readonly issuer: Buffer;
  readonly notBefore: Buffer;
  readonly notAfter: Buffer;
  readonly subject: Buffer;
  readonly subjectPublicKeyInfo: Buffer;
  /** Absent: the certificate has none. */
  readonly extensions?: readonly Buffer[];
  readonly algorithm: Algorithm;
  /** As it stands beside the signature; absent: as in the body. */
  readonly outerAlgorithm?: Buffer;
  readonly signer: KeyObject;
}

export const VERSION_3 = der(0xa0, integer(2));

export function buildCertificate(content: Content): Buffer {
  const body = sequence(
    content.version ?? VERSION_3,
    content.serial ?? integer(Buffer.concat([Buffer.of(0x51), randomBytes(15)])),
    content.algorithm.identifier,
    content.issuer,
    sequence(content.notBefore, content.notAfter),
    content.subject,
    content.subjectPublicKeyInfo,
    ...(content.extensions === undefined ? [] : [der(0xa3, sequence(...content.extensions))]),
  );
  const signature = sign(content.algorithm.hash, body, content.signer);
  return sequence(body, content.outerAlgorithm ?? content.algorithm.identifier, der(0x03, Buffer.of(0), signature));
}
