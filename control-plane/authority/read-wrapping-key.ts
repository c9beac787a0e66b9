import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { type KeyWrapping, localKeyWrapping, WRAPPING_KEY_BYTES } from './key-wrapping.ts';

/** Where the key is that encrypts the authority's keys. */
export type KeyEncryption =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'environment'; readonly name: string };

/** The key and those that it took the place of. */
const MAX_WRAPPING_KEYS = 4;
const MAX_KEY_TEXT_BYTES = 4 * 1024;
const HEX = /^[0-9a-f]{64}$/i;
const BASE64 = /^[A-Za-z0-9+/]{43}=?$/;

/**
 * One key a line, 32 bytes as base64 or hex; the first encrypts. Throws with one sentence, which never shows the text, where there is
 * none, or where others than the owner can read the file.
 */
export async function readWrappingKey(
  encryption: KeyEncryption,
  environment: { readonly [name: string]: string | undefined },
): Promise<KeyWrapping> {
  const text = encryption.kind === 'file' ? await fileText(encryption.path) : environment[encryption.name];
  const place = encryption.kind === 'file' ? encryption.path : `environment variable ${encryption.name}`;
  if (text === undefined) throw new Error(`${place}: is not there, and authority.keyEncryption names it`);
  const lines = text.split(/\s+/).filter((line) => line !== '');
  if (lines.length === 0 || lines.length > MAX_WRAPPING_KEYS) {
    throw new Error(`${place}: holds ${lines.length} keys; expected one a line, ${MAX_WRAPPING_KEYS} at most`);
  }
  return localKeyWrapping(lines.map((line, index) => keyOf(line, `${place}: line ${index + 1}`)));
}

function keyOf(text: string, place: string): Buffer {
  const key = HEX.test(text) ? Buffer.from(text, 'hex') : BASE64.test(text) ? Buffer.from(text, 'base64') : undefined;
  if (key?.length === WRAPPING_KEY_BYTES) return key;
  throw new Error(
    `${place}: is not a key of ${WRAPPING_KEY_BYTES} bytes as base64 or hex; make one: openssl rand -base64 ${WRAPPING_KEY_BYTES}`,
  );
}

async function fileText(path: string): Promise<string | undefined> {
  const file = await readBoundedFile(path, MAX_KEY_TEXT_BYTES);
  if (file === undefined || !isSharedMode(file.mode)) return file?.text;
  throw new Error(`${path}: mode ${file.mode.toString(8)} lets others read the key; run chmod 600 ${path}`);
}
