import { type FlatHeaders, headerValue } from '#policy/http/flat-headers.ts';

/** Milliseconds of the units of `grpc-timeout` (gRPC over HTTP/2, "Requests"). */
const UNITS_MS: { readonly [unit: string]: number } = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};
const GRPC_TIMEOUT = /^(\d{1,8})([HMSmun])$/;

/** How long the caller of a gRPC call will wait, milliseconds; infinite: it does not say, or not in a way that can be read. */
export function grpcTimeoutMs(headers: FlatHeaders): number {
  const match = GRPC_TIMEOUT.exec(headerValue(headers, 'grpc-timeout') ?? '');
  const unit = UNITS_MS[match?.[2] ?? ''];
  return unit === undefined ? Number.POSITIVE_INFINITY : Number(match?.[1]) * unit;
}
