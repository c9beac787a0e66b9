import type { IncomingMessage } from 'node:http';

/** What may for now be in memory of all bodies together. */
export interface BodyBudget {
  availableBytes: number;
}

export type BodyReading =
  | { readonly kind: 'read'; readonly text: string }
  | { readonly kind: 'refused'; readonly status: 413 | 503; readonly message: string }
  /** The caller went away. */
  | { readonly kind: 'gone' };

/** Reads a body as text, within the budget; what it took is given back when this resolves. */
export function readBody(request: IncomingMessage, budget: BodyBudget, maxBytes: number): Promise<BodyReading> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let taken = 0;
    const end = (reading: BodyReading) => {
      budget.availableBytes += taken;
      taken = 0;
      chunks.length = 0;
      request.removeAllListeners('data');
      request.resume(); // what still comes is let pass: the connection is closed after the answer
      resolve(reading);
    };
    request.on('data', (chunk: Buffer) => {
      taken += chunk.length;
      budget.availableBytes -= chunk.length;
      chunks.push(chunk);
      if (taken > maxBytes) {
        end({ kind: 'refused', status: 413, message: `a body of more than ${maxBytes} bytes` });
      } else if (budget.availableBytes < 0) {
        end({ kind: 'refused', status: 503, message: 'too many reviews at once; try again' });
      }
    });
    request.once('end', () => end({ kind: 'read', text: Buffer.concat(chunks).toString('utf8') }));
    request.once('close', () => end({ kind: 'gone' }));
  });
}
