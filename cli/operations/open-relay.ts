import { PassThrough } from 'node:stream';
import { OperationsService, type TapResponse } from '#proto/gen/lateral/v1/operations.ts';
import { type TapRequest, tapQuery } from '#sidecar/telemetry/tap-request.ts';
import { connectAsOperator } from './connect-as-operator.ts';
import type { ControlPlaneReach } from './reach-options.ts';
import type { TapTarget } from './tap-targets.ts';

/** Longer than any tap lasts. */
const DEADLINE_MARGIN_MS = 30_000;

/**
 * Has a control plane relay what the sidecars of a namespace, or of a workload, show. Resolves once it has said which
 * these are; the streams of all of them end with the call. Rejects with a sentence.
 */
export async function openRelay(
  reach: ControlPlaneReach,
  namespace: string,
  workload: string,
  request: TapRequest,
): Promise<readonly TapTarget[]> {
  const { client, metadata, callFailure } = await connectAsOperator(reach);
  const { path, requestSerialize, responseDeserialize } = OperationsService.tap;
  const deadline = Date.now() + request.seconds * 1_000 + DEADLINE_MARGIN_MS;
  const asked = { namespace, workload, query: tapQuery(request) };
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, asked, metadata, {
    deadline,
  });
  const streams: PassThrough[] = [];
  const begun = Promise.withResolvers<readonly TapTarget[]>();
  let open = 0;

  const target = (name: string): TapTarget => {
    const stream = new PassThrough();
    streams.push(stream);
    open++;
    stream.on('close', () => {
      open--;
      if (open === 0) call.cancel(); // nobody reads any more
    });
    return { name, open: async () => stream };
  };
  call.on('data', ({ sidecars, sidecar, lines, hasEnded }: TapResponse) => {
    if (sidecars.length > 0) begun.resolve(sidecars.map(target));
    if (lines.length > 0) streams[sidecar]?.write(lines);
    if (hasEnded) streams[sidecar]?.end();
  });
  const fail = (error: unknown) => {
    begun.reject(new Error(`control plane ${reach.address}: ${callFailure(error)}`));
    for (const stream of streams) stream.end();
    client.close();
  };
  call.on('error', fail);
  call.on('end', () => fail('it ended the call'));
  return begun.promise;
}
