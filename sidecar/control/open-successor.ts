import type { Client } from '@grpc/grpc-js';
import { Backoff } from './backoff.ts';
import { wait } from './wait.ts';

/** Longest wait for the connection to be there. */
const SUCCESSOR_TIMEOUT_MS = 10_000;

/**
 * Opens the connection that takes the place of one in use, at a random time within `spreadMs`, so that a thousand sidecars do not come at
 * once, and as often as it takes. Resolves once it is ready; undefined: the signal was aborted.
 */
export async function openSuccessor(
  open: () => Client,
  spreadMs: number,
  signal: AbortSignal,
): Promise<Client | undefined> {
  const backoff = new Backoff();
  await wait(Math.random() * spreadMs, signal);
  while (!signal.aborted) {
    const connection = open();
    const isReady = await ready(connection, signal);
    if (isReady && !signal.aborted) return connection;
    connection.close();
    await wait(backoff.next(), signal);
  }
  return undefined;
}

function ready(connection: Client, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(false), { once: true });
    connection.waitForReady(Date.now() + SUCCESSOR_TIMEOUT_MS, (error) => resolve(error === undefined));
  });
}
