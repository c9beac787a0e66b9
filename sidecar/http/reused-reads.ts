import type { Socket } from 'node:net';

/**
 * Takes what a socket reads. The bytes are gone when it returns: who keeps any of them copies them. False: nothing more is
 * read until the stream asks for it.
 */
export interface ReadTaker {
  take(bytes: Buffer): boolean;
}

/** A taker that wants whatever comes. */
export function takerOf(take: (bytes: Buffer) => void): ReadTaker['take'] {
  return (bytes) => {
    take(bytes);
    return true;
  };
}

/** Every socket with a ReadTaker reads into this: nothing is allocated for a read. */
const READ_BUFFER = Buffer.allocUnsafeSlow(65_536);

/** The `onread` option of a socket that is opened here (net.connect, tls.connect). */
export function onReadOf(reads: ReadTaker): { buffer: Buffer; callback: (size: number) => boolean } {
  return { buffer: READ_BUFFER, callback: callbackOf(reads) };
}

/** Where net.Socket keeps what its `onread` option says. */
interface ReadFields {
  readonly buffer: symbol;
  readonly callback: symbol;
}

/**
 * Gives an accepted connection what `onread` gives one that is opened here; net has no option for it, so the same fields are set
 * as that option sets. Without it Node takes 64 kB for every read, which at few requests a second is most of the
 * work of the collector (31 full collections in place of 3 over 8 s of one connection's requests). False: this Node
 * has no such fields; the socket's `data` events serve as well. Nothing must have been read from the socket yet but what
 * it holds itself, which is taken first.
 */
export function reuseReadsOf(socket: Socket, reads: ReadTaker): boolean {
  const fields = fieldsOf(socket);
  const handle: unknown = Reflect.get(socket, '_handle');
  if (fields === undefined || typeof handle !== 'object' || handle === null) return false;
  const useUserBuffer: unknown = Reflect.get(handle, 'useUserBuffer');
  if (typeof useUserBuffer !== 'function') return false;
  for (let held: unknown = socket.read(); Buffer.isBuffer(held); held = socket.read()) reads.take(held);
  Reflect.set(socket, fields.buffer, READ_BUFFER);
  Reflect.set(socket, fields.callback, callbackOf(reads));
  Reflect.apply(useUserBuffer, handle, [READ_BUFFER]);
  return true;
}

function callbackOf(reads: ReadTaker): (size: number) => boolean {
  return (size) => reads.take(READ_BUFFER.subarray(0, size));
}

/** From here on the socket is a stream like any other: what it reads is to be had by `data` events. */
export function readAsStream(socket: Socket, reads: ReadTaker): void {
  reads.take = (bytes) => socket.push(Buffer.from(bytes));
}

function fieldsOf(socket: Socket): ReadFields | undefined {
  const symbols = Object.getOwnPropertySymbols(socket);
  const named = (name: string) => symbols.find(({ description }) => description === name);
  const buffer = named('kBuffer');
  const callback = named('kBufferCb');
  const generator = named('kBufferGen');
  const isUnused =
    buffer !== undefined && generator !== undefined && !Reflect.get(socket, buffer) && !Reflect.get(socket, generator);
  return isUnused && callback !== undefined ? { buffer, callback } : undefined;
}
