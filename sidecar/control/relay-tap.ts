import { Writable } from 'node:stream';
import { type Client, Metadata } from '@grpc/grpc-js';
import type { TapOrder } from '#proto/gen/lateral/v1/discovery.ts';
import { ObservationService } from '#proto/gen/lateral/v1/observation.ts';
import { readTapRequest, type TapRequest } from '../telemetry/tap-request.ts';

/** Opens a tap that writes to `out`; false: there is no room for another. */
export type OpenTap = (request: TapRequest, out: Writable) => boolean;

/**
 * Sends the control plane what its order asks for, until the tap ends or no more is wanted. The stream's own flow control
 * holds the lines back where they are not taken; then they are skipped.
 */
export function relayTap(client: Client, { tapId, query }: TapOrder, open: OpenTap): void {
  const request = readTapRequest(new URLSearchParams(query));
  if (typeof request === 'string') return; // an order of another version
  const { path, requestSerialize, responseDeserialize } = ObservationService.relay;
  const stream = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, new Metadata(), () =>
    out.destroy(),
  );
  stream.on('error', () => {}); // the callback hears of it
  const out = new Writable({
    write: (lines: Buffer, _encoding, done) => {
      if (stream.write({ tapId: '', lines })) done();
      else stream.once('drain', done);
    },
    final: (done) => {
      stream.end();
      done();
    },
    destroy: (error, done) => {
      stream.cancel();
      done(error);
    },
    autoDestroy: false, // what was written last is still to arrive
  });
  stream.write({ tapId, lines: Buffer.alloc(0) });
  if (open(request, out)) return;
  out.end(`${JSON.stringify({ event: 'tap_refused', reason: 'its taps are all taken; try again later' })}\n`);
}
