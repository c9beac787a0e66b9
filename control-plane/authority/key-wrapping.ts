import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/**
 * Encrypts private keys for where they are kept. What holds the encrypting key, a key management service for one, has this
 * interface; `localKeyWrapping` is the one that has it in memory.
 */
export interface KeyWrapping {
  /** `label`: what the text is, e.g. the name of its file; only under the same label it is read again. */
  wrap(text: string, label: string): Promise<string>;
  /** Throws with a sentence that says whether the key is another, or the text was changed. */
  unwrap(wrapped: string, label: string): Promise<string>;
  /** False: the text is plain, or was encrypted by a key that is kept for reading alone. */
  isCurrent(text: string): boolean;
}

/** The bytes of a key of AES-256. */
export const WRAPPING_KEY_BYTES = 32;
const CIPHER = 'aes-256-gcm';
const VERSION = '1';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_LENGTH = 16;
const LINE_LENGTH = 64;
const BEGIN = '-----BEGIN LATERAL ENCRYPTED KEY-----';
const END = '-----END LATERAL ENCRYPTED KEY-----';
const BLOCK = new RegExp(
  `^${BEGIN}\nVersion: (\\d{1,4})\nKey-Id: ([0-9a-f]{${KEY_ID_LENGTH}})\nNonce: ([0-9a-f]{${2 * NONCE_BYTES}})\nTag: ([0-9a-f]{${2 * TAG_BYTES}})\n\n([A-Za-z0-9+/=\n]+)\n${END}\n?$`,
);

/** Encrypts by the first key; the others, of which it took the place, read only. */
export function localKeyWrapping(keys: readonly Buffer[]): KeyWrapping {
  const known = keys.map((key) => ({ id: keyIdOf(key), key }));
  const [current] = known;
  if (current === undefined) throw new Error('no key to encrypt by');
  return {
    async wrap(text, label) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, current.key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(boundData(current.id, label));
      const secret = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return blockOf({ keyId: current.id, nonce, tag: cipher.getAuthTag(), secret });
    },
    async unwrap(wrapped, label) {
      const { keyId, nonce, tag, secret } = read(wrapped);
      const found = known.find(({ id }) => id === keyId);
      if (found === undefined) {
        const ids = known.map(({ id }) => id).join(', ');
        throw new Error(`is encrypted by the key with ID ${keyId}, and configured is ${ids}`);
      }
      const decipher = createDecipheriv(CIPHER, found.key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(boundData(keyId, label));
      decipher.setAuthTag(tag);
      try {
        return Buffer.concat([decipher.update(secret), decipher.final()]).toString('utf8');
      } catch {
        throw new Error(`was changed, or is not ${label}: it does not fit its tag under the key with ID ${keyId}`);
      }
    },
    isCurrent: (text) => isWrapped(text) && read(text).keyId === current.id,
  };
}

/** Whether the text claims to be encrypted. */
export function isWrapped(text: string): boolean {
  return text.startsWith(BEGIN);
}

/** Tells keys apart, and nothing else about them: part of a hash of 256 random bits. */
export function keyIdOf(key: Buffer): string {
  return createHash('sha256').update('lateral key id\0').update(key).digest('hex').slice(0, KEY_ID_LENGTH);
}

interface Block {
  readonly keyId: string;
  readonly nonce: Buffer;
  readonly tag: Buffer;
  readonly secret: Buffer;
}

/** What the tag vouches for beside the text. */
function boundData(keyId: string, label: string): Buffer {
  return Buffer.from([VERSION, keyId, label].join('\0'));
}

function blockOf({ keyId, nonce, tag, secret }: Block): string {
  const lines = secret.toString('base64').match(new RegExp(`.{1,${LINE_LENGTH}}`, 'g')) ?? [];
  const head = [BEGIN, `Version: ${VERSION}`, `Key-Id: ${keyId}`, `Nonce: ${nonce.toString('hex')}`];
  return `${[...head, `Tag: ${tag.toString('hex')}`, '', ...lines, END].join('\n')}\n`;
}

function read(wrapped: string): Block {
  const [, version, keyId, nonce, tag, secret] = BLOCK.exec(wrapped) ?? [];
  if (version !== undefined && version !== VERSION) {
    throw new Error(`is encrypted in the form of version ${version}, which this version does not know`);
  }
  const isWhole = keyId !== undefined && nonce !== undefined && tag !== undefined && secret !== undefined;
  const block = isWhole
    ? { keyId, nonce: Buffer.from(nonce, 'hex'), tag: Buffer.from(tag, 'hex'), secret: Buffer.from(secret, 'base64') }
    : undefined;
  // Base64 has several spellings of the same bytes: one alone is ours.
  if (block !== undefined && blockOf(block).trimEnd() === wrapped.trimEnd()) return block;
  throw new Error('is not a whole encrypted key: a line is missing or was changed');
}
