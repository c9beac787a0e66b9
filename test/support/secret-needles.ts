import { createPrivateKey } from 'node:crypto';

/** A secret, and the texts by which it would be recognised wherever it were written. */
export interface Secret {
  readonly name: string;
  readonly needles: readonly string[];
}

/** Shortest needle: a shorter one could be met by chance. */
const LEAST_NEEDLE_LENGTH = 24;

export function secretText(name: string, text: string): Secret {
  return { name, needles: [text] };
}

export function secretBytes(name: string, bytes: Buffer): Secret {
  const needles = (['hex', 'base64', 'base64url'] as const).map((encoding) => bytes.toString(encoding));
  return { name, needles: [...needles, needles[0]?.toUpperCase() ?? ''] };
}

/** A private key of an elliptic curve: its scalar, and each whole line of its PEM. */
export function secretKey(name: string, pem: string): Secret {
  const key = createPrivateKey(pem);
  const scalar = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url');
  const der = key.export({ type: 'pkcs8', format: 'der' });
  // The first line of all keys of a curve begins alike; what follows is the key's own.
  const lines = pem.split('\n').filter((line) => !line.startsWith('-----') && line.length >= LEAST_NEEDLE_LENGTH);
  return {
    name,
    needles: [...secretBytes(name, scalar).needles, ...lines.slice(1), ...secretBytes(name, der).needles],
  };
}

/** Names of the secrets that the text holds. */
export function secretsIn(text: string, secrets: readonly Secret[]): readonly string[] {
  return secrets.filter(({ needles }) => needles.some((needle) => text.includes(needle))).map(({ name }) => name);
}
