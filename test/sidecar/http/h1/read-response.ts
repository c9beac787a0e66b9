import { ProtocolError } from '#sidecar/http/h1/protocol-error.ts';
import { ResponseParser } from '#sidecar/http/h1/response-parser.ts';

/** What our parser made of the answer to one request, as lines. `ends`: the connection ended behind the bytes. */
export function readResponse(pieces: readonly Buffer[], method = 'GET', ends = true): string[] {
  const lines: string[] = [];
  let body = '';
  let isOver = false;
  const parser = new ResponseParser(
    ({ head, isReusable, declaredLength }) => {
      if (isOver) throw new Error('a response behind the last');
      lines.push(
        `${head.status} ${head.reason} ${JSON.stringify(head.headers)}${isReusable ? ' reusable' : ''}${
          declaredLength === undefined ? '' : ` length ${declaredLength}`
        }`,
      );
    },
    {
      onChunk: (chunk) => {
        if (isOver) throw new Error('a chunk behind the end');
        if (chunk.length === 0) throw new Error('an empty chunk');
        body += chunk.toString('latin1');
      },
      onEnd: (trailers) => {
        if (isOver) throw new Error('two ends');
        isOver = true;
        lines.push(`body ${JSON.stringify(body)} ${JSON.stringify(trailers)}`);
      },
    },
  );
  parser.reset(method);
  let switched: string | undefined;
  try {
    for (const piece of pieces) {
      if (switched !== undefined) {
        switched += piece.toString('latin1');
        continue;
      }
      const stoppedAt = parser.push(piece, 0);
      if (lines.at(-1)?.startsWith('101 ') === true) switched = piece.toString('latin1', stoppedAt);
      else if (stoppedAt < piece.length) parser.push(piece, stoppedAt);
    }
    if (switched !== undefined) lines.push(`switched ${JSON.stringify(switched)}`);
    else if (ends && !isOver && !parser.endOfInput()) lines.push('broken off', `body ${JSON.stringify(body)}`);
    else if (!ends && !isOver) lines.push(`more to come, body ${JSON.stringify(body)}`);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    lines.push(`${error.code}: ${error.message}`);
  }
  return lines;
}
