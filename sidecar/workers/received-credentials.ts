import type { CredentialSource, Credentials } from '../identity/credentials.ts';

/** The credentials of a worker: those that the main thread keeps fresh. */
export class ReceivedCredentials implements CredentialSource {
  readonly #listeners = new Set<(credentials: Credentials) => void>();
  #current: Credentials;

  constructor(first: Credentials) {
    this.#current = first;
  }

  current(): Credentials {
    return this.#current;
  }

  onRenewal(listener: (credentials: Credentials) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  receive(credentials: Credentials): void {
    this.#current = credentials;
    for (const listener of this.#listeners) listener(credentials);
  }

  close(): void {
    this.#listeners.clear();
  }
}
