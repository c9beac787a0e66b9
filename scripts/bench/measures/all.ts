import type { What } from '../options.ts';
import { answers } from './answers.ts';
import { grpc } from './grpc.ts';
import { handshakes } from './handshakes.ts';
import { http } from './http.ts';
import { idle } from './idle.ts';
import type { Measure } from './measure.ts';
import { rate } from './rate.ts';
import { streams } from './streams.ts';

/** The tables behind each word of `--what` that measures pairs. */
export const MEASURES: { readonly [W in Exclude<What, 'validation'>]: readonly Measure[] } = {
  http: [http],
  grpc: [grpc],
  bodies: [answers, streams],
  rate: [rate],
  handshakes: [handshakes],
  idle: [idle],
};
