/** What both ends of `Discovery.Subscribe` agree on beside the messages. */

/** Each end sends a heartbeat this often. */
export const HEARTBEAT_INTERVAL_MS = 5_000;

/** A peer that was silent for this many intervals is taken as gone. */
export const MAX_MISSED_HEARTBEATS = 3;

/** Resources a Hello may list; a sidecar that has more lists none and gets a complete update. */
export const MAX_KNOWN_RESOURCES = 20_000;

/** Largest update, in one message or in parts: documents and envelopes of all resources in it. */
export const MAX_UPDATE_BYTES = 64 * 1024 * 1024;

/** Documents that are longer travel in chunks of at most this length. */
export const DOCUMENT_CHUNK_BYTES = 128 * 1024;

/** An update with more is sent in parts of about this length: far below the 4 MiB that gRPC's programs take by default. */
export const UPDATE_PART_BYTES = 512 * 1024;

/** Documents that a sidecar may hold whole for an update to come: more than fit MAX_UPDATE_BYTES, as each is longer than a chunk. */
export const MAX_HELD_DOCUMENTS = 1_024;

/** Largest message a sidecar may send: a Hello with MAX_KNOWN_RESOURCES is the largest that does. */
export const MAX_REQUEST_BYTES = 8 * 1024 * 1024;

/**
 * Bytes of an update that may be on their way to a sidecar: HTTP/2's window of a stream, which the sidecar sets. Below 16 KiB,
 * as the control plane's TLS keeps a buffer of what it ever encrypted at once, on each of thousands of connections.
 */
export const UPDATE_WINDOW_BYTES = 16_000;

/**
 * Bytes of a request that may be on their way to the control plane, likewise: Node keeps 64 KB for what it reads from a
 * connection, and the pages that a Hello of a thousand resources once filled stay in memory. The largest Hello takes some 200
 * round trips.
 */
export const REQUEST_WINDOW_BYTES = 8_000;
