import type { IncomingBody, OutgoingRequest } from '#sidecar/http/message.ts';

/** A request whose sender wants to know nothing of what happens on its way; `parts` says what else it is. */
export function outgoingRequest(head: OutgoingRequest['head'], parts: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return {
    head,
    body: null,
    isUpgrade: false,
    expectsContinue: false,
    onResponse: () => {},
    onInformation: () => {},
    onBodyProgress: () => {},
    onBodyBlocked: () => {},
    onBodyEnd: () => {},
    ...parts,
  };
}

/** Reads a body to its end; rejects when it breaks off. */
export function readWhole(incoming: IncomingBody): Promise<{ body: Buffer; trailers: readonly string[] }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    incoming.start({
      onChunk: (chunk) => chunks.push(Buffer.from(chunk)),
      onEnd: (trailers) => resolve({ body: Buffer.concat(chunks), trailers }),
      onError: reject,
    });
  });
}
