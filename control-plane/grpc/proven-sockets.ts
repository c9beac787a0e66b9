import type { TLSSocket } from 'node:tls';
import { certificatesFromPem } from '#policy/x509/pem.ts';

/** Sockets whose certificate was verified against the roots of their handshake: a proof that ends when a root does. */
export class ProvenSockets {
  readonly #sockets = new Set<TLSSocket>();
  #trustBundlePem: string;

  constructor(trustBundlePem: string) {
    this.#trustBundlePem = trustBundlePem;
  }

  add(socket: TLSSocket): void {
    if (!socket.authorized) return;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  /** Ends those of which that holds. */
  end(isOver: (socket: TLSSocket) => boolean): void {
    for (const socket of [...this.#sockets]) if (isOver(socket)) socket.destroy();
  }

  /**
   * Trusts these roots from now on. Where one is gone all sockets end, and true is returned: whoever still has a good
   * certificate connects anew, and proves it to the roots that are left.
   */
  trust(trustBundlePem: string): boolean {
    const roots = new Set(encoded(trustBundlePem));
    const isOneGone = encoded(this.#trustBundlePem).some((root) => !roots.has(root));
    this.#trustBundlePem = trustBundlePem;
    if (isOneGone) for (const socket of [...this.#sockets]) socket.destroy();
    return isOneGone;
  }
}

function encoded(pem: string): readonly string[] {
  return certificatesFromPem(pem).map((der) => der.toString('base64'));
}
