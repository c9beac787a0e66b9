import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { spiffeBundleText } from '#policy/trust/spiffe-bundle.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import { TestAuthority, type TestLeaf } from '../../support/certificates.ts';

export const PARTNER = 'partner.example';
export const PARTNER_SERVER = `spiffe://${PARTNER}/spire/server`;

/** A bundle endpoint of another trust domain, and what it is told to serve. */
export class PartnerEndpoint {
  authority = new TestAuthority(PARTNER);
  requests = 0;
  /** Takes the place of the bundle. */
  answer: { readonly status?: number; readonly headers?: Record<string, string>; readonly body: string } | undefined;
  port = 0;
  #roots = certificatesFromPem(this.authority.rootPem);
  #sequence = 1;
  #server: ReturnType<typeof createServer> | undefined;
  #leaf = this.authority.leaf(PARTNER_SERVER);

  static async start(t: Test): Promise<PartnerEndpoint> {
    const endpoint = new PartnerEndpoint();
    await endpoint.start();
    t.teardown(() => endpoint.stop());
    return endpoint;
  }

  get roots(): readonly Buffer[] {
    return this.#roots;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}/bundle`;
  }

  publish(roots: readonly Buffer[], sequence: number): void {
    this.#roots = [...roots];
    this.#sequence = sequence;
  }

  /** Proves itself with another certificate from now on. */
  prove(leaf: TestLeaf): void {
    this.#leaf = leaf;
    this.#server?.setSecureContext({ cert: leaf.cert, key: leaf.key });
  }

  /** Starts, or starts again at the same port. */
  start(): Promise<void> {
    const server = createServer({ cert: this.#leaf.cert, key: this.#leaf.key }, (_request, response) => {
      this.requests += 1;
      const {
        status = 200,
        headers = {},
        body,
      } = this.answer ?? {
        body: spiffeBundleText(this.#roots, this.#sequence, 300),
      };
      response.writeHead(status, headers);
      response.end(body);
    });
    this.#server = server;
    return new Promise((resolve) => {
      server.listen(this.port, '127.0.0.1', () => {
        this.port = (server.address() as AddressInfo).port;
        resolve();
      });
    });
  }

  stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return Promise.resolve();
    return new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }
}
