import { ProtocolError } from '#sidecar/http/h1/protocol-error.ts';
import { RequestParser } from '#sidecar/http/h1/request-parser.ts';

/** One request as our parser read it. */
export interface ReadRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly headers: readonly string[];
  readonly contentLength: number | undefined;
  readonly isChunked: boolean;
  body: string;
  trailers: readonly string[] | undefined;
  /** Its last byte has come. */
  isComplete: boolean;
  /** The caller wants the connection to end behind it. */
  readonly isLast: boolean;
}

/** What became of all the bytes. */
export interface RequestReading {
  readonly requests: readonly ReadRequest[];
  readonly error: ProtocolError | undefined;
  /** A message has begun and not ended. */
  readonly isWithin: boolean;
}

/** Gives the pieces to one parser, answering each request at its end. Throws what is no ProtocolError. */
export function readRequests(pieces: readonly Buffer[]): RequestReading {
  const requests: ReadRequest[] = [];
  let current: ReadRequest | undefined;
  const parser = new RequestParser(
    ({ head, block, hasBody }) => {
      if (current !== undefined) throw new Error('a request within a request');
      current = {
        ...head,
        contentLength: block.contentLength,
        isChunked: block.isChunked,
        body: '',
        trailers: undefined,
        isComplete: !hasBody,
        isLast: block.isClose || (head.version === '1.0' && !block.isKeepAlive),
      };
      requests.push(current);
    },
    {
      onChunk: (chunk) => {
        if (current === undefined || current.isComplete) throw new Error('a chunk of no request');
        if (chunk.length === 0) throw new Error('an empty chunk');
        current.body += chunk.toString('latin1');
      },
      onEnd: (trailers) => {
        if (current === undefined || current.isComplete) throw new Error('the end of no request');
        current.isComplete = true;
        current.trailers = trailers;
      },
    },
  );
  try {
    for (const piece of pieces) {
      let at = 0;
      while (at < piece.length) {
        at = parser.push(piece, at);
        if (current === undefined) continue;
        if (!current.isComplete) {
          if (at !== piece.length) throw new Error('the parser stopped within a body');
          continue;
        }
        current = undefined; // answered at once
        parser.next();
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { requests, error, isWithin: false };
  }
  return { requests, error: undefined, isWithin: parser.isInHead || parser.isInBody };
}

/** A reading as lines that can be compared and printed. */
export function requestLines(reading: RequestReading): string[] {
  const lines = reading.requests.map(
    ({ method, target, version, headers, body, trailers, isComplete }) =>
      `${method} ${target} ${version} ${JSON.stringify(headers)} ${JSON.stringify(body)}${
        trailers === undefined ? '' : ` ${JSON.stringify(trailers)}`
      }${isComplete ? '' : ' …'}`,
  );
  if (reading.error !== undefined) lines.push(`${reading.error.code}: ${reading.error.message}`);
  else if (reading.isWithin) lines.push('more to come');
  return lines;
}
