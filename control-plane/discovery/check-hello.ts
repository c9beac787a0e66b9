import { status } from '@grpc/grpc-js';
import { MAX_KNOWN_RESOURCES } from '#proto/discovery-limits.ts';
import type { Hello, Workload as ProtoWorkload } from '#proto/gen/lateral/v1/discovery.ts';
import { CallRefusal } from '../grpc/refuse-call.ts';

/** Bounds of what a Hello says about its workload. */
export const MAX_NAME_LENGTH = 253;
const MAX_LABELS = 256;
const MAX_LABEL_LENGTH = 512;
const MAX_PORTS = 256;

/** The workload a Hello names, within bounds. Throws CallRefusal. */
export function checkedWorkload({ workload, knownResources }: Hello): ProtoWorkload {
  const complaint = workload === undefined ? 'names no workload' : workloadComplaint(workload);
  if (workload === undefined || complaint !== undefined) {
    throw new CallRefusal(status.INVALID_ARGUMENT, `Hello ${complaint}`);
  }
  if (knownResources.length > MAX_KNOWN_RESOURCES) {
    throw new CallRefusal(
      status.INVALID_ARGUMENT,
      `Hello lists ${knownResources.length} resources, more than ${MAX_KNOWN_RESOURCES}`,
    );
  }
  return workload;
}

function workloadComplaint({ name, labels, ports }: ProtoWorkload): string | undefined {
  if (name === '' || name.length > MAX_NAME_LENGTH)
    return `has a workload name that is empty or over ${MAX_NAME_LENGTH}`;
  if (ports.length > MAX_PORTS) return `lists ${ports.length} ports, more than ${MAX_PORTS}`;
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) return `has ${entries.length} labels, more than ${MAX_LABELS}`;
  const isLong = entries.some(([key, value]) => key.length + value.length > MAX_LABEL_LENGTH);
  return isLong ? `has a label longer than ${MAX_LABEL_LENGTH}` : undefined;
}
