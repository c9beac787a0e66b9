import type { What } from '../options.ts';
import { answers } from './answers.ts';
import { grpc } from './grpc.ts';
import { handshakes } from './handshakes.ts';
import { http } from './http.ts';
import { idle } from './idle.ts';
import type { Measure } from './measure.ts';
import { rate } from './rate.ts';
import { streams } from './streams.ts';

/** The tables behind each word of `--what`. */
export const MEASURES: { readonly [W in What]: readonly Measure[] } = {
  http: [http],
  grpc: [grpc],
  bodies: [answers, streams],
  rate: [rate],
  handshakes: [handshakes],
  idle: [idle],
};
