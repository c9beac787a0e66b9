/** Names that pods, sidecars, Services and operators share (the contract's "In Kubernetes"). */
export const INIT_CONTAINER = 'lateral-init';
export const SIDECAR_CONTAINER = 'lateral-sidecar';
export const STATE_VOLUME = 'lateral-state';
export const TOKEN_VOLUME = 'lateral-token';

export const PROGRAM = '/lateral/bin/lateral';
/** Where the volume in memory is: open to all of the pod's users, as kubelet makes it. */
export const STATE_MOUNT = '/var/lib/lateral';
/** Within it: the sidecar makes it, for itself alone. */
export const STATE_DIRECTORY = `${STATE_MOUNT}/state`;
export const TOKEN_DIRECTORY = '/var/run/secrets/lateral.dev';
/** Of the projected tokens that sidecars present: no token that is meant for another is taken. */
export const TOKEN_AUDIENCE = 'lateral-control-plane';

/** The user and group of the sidecar: what it sends itself is not redirected. */
export const SIDECAR_UID = 1337;

export const INBOUND_PORT = 15006;
export const OUTBOUND_PORT = 15001;
/** On the loopback of the pod. */
export const ADMIN_PORT = 15000;
export const METRICS_PORT = 15020;
/** In mode `none` each port of the app has a listener of its own; this is the first. */
export const FIRST_EXPLICIT_PORT = 15100;

/** Label or annotation of pods, and label of namespaces. */
export const INJECT = 'lateral.dev/inject';
export const INJECTED = 'lateral.dev/injected';
export const INTERCEPTION = 'lateral.dev/interception';
export const EXCLUDE_INBOUND_PORTS = 'lateral.dev/exclude-inbound-ports';
export const EXCLUDE_OUTBOUND_PORTS = 'lateral.dev/exclude-outbound-ports';
export const EXCLUDE_OUTBOUND_CIDRS = 'lateral.dev/exclude-outbound-cidrs';
/** Where a pod reaches the control plane, where not by the Service of its cluster. */
export const CONTROL_PLANE_ADDRESS = 'lateral.dev/control-plane-address';
export const PROTOCOL_PREFIX = 'lateral.dev/protocol.';
export const SIDECAR_CPU = 'lateral.dev/sidecar-cpu';
export const SIDECAR_CPU_LIMIT = 'lateral.dev/sidecar-cpu-limit';
export const SIDECAR_MEMORY = 'lateral.dev/sidecar-memory';
export const SIDECAR_MEMORY_LIMIT = 'lateral.dev/sidecar-memory-limit';
