import { UsageError } from '../command.ts';
import { MESH_OPTIONS } from './mesh-options.ts';
import { checkOfflineRequest, type OfflineRequest } from './offline-request.ts';
import { parseHeaders, parseLabels, parseRequestLine, parseTarget } from './workload-option.ts';

/** Options of every command that judges one request, or a batch of them, for `parseArgs`. */
export const REQUEST_OPTIONS = {
  policies: { type: 'string' },
  to: { type: 'string' },
  label: { type: 'string', multiple: true },
  request: { type: 'string' },
  from: { type: 'string' },
  header: { type: 'string', multiple: true },
  claims: { type: 'string' },
  batch: { type: 'string' },
  json: { type: 'boolean', default: false },
  ...MESH_OPTIONS,
} as const;

/** The request that the options describe, in the form of a batch line. */
export function describedRequest(values: {
  readonly to?: string | undefined;
  readonly request?: string | undefined;
  readonly label?: readonly string[] | undefined;
  readonly header?: readonly string[] | undefined;
  readonly from?: string | undefined;
}): object {
  if (values.to === undefined) throw new UsageError('--to NAMESPACE/WORKLOAD is missing');
  if (values.request === undefined) throw new UsageError("--request 'METHOD PATH' is missing");
  return {
    to: { ...parseTarget(values.to), labels: parseLabels(values.label) },
    ...parseRequestLine(values.request),
    headers: parseHeaders(values.header),
    from: values.from,
  };
}

/** The same, checked: what is wrong with it is wrong usage. */
export function checkedRequest(described: unknown): OfflineRequest {
  const reading = checkOfflineRequest(described);
  if (reading.kind === 'broken') throw new UsageError(reading.reason);
  return reading.request;
}
