import type { Problem } from './problem.ts';

/** A file of a policy folder, already read. */
export interface SourceFile {
  /** As shown in messages; schema files are named relative to it. */
  readonly path: string;
  readonly text: string;
}

/**
 * One resource as it travels and is stored: parsed, checked, canonical JSON (keys sorted), schema
 * documents inlined. `key` is KIND/NAMESPACE/NAME, `version` a hash of `document`.
 */
export interface ResourceDocument {
  readonly key: string;
  readonly version: string;
  readonly document: string;
}

/** What a policy folder amounts to. With any error in `problems` it must not be put in force. */
export interface ResourceSet {
  readonly resources: readonly ResourceDocument[];
  readonly problems: readonly Problem[];
}

/** The resources one workload needs, and their joint version. */
export interface Snapshot {
  /** Hash over the sorted `key@version` lines: equal resources have equal versions everywhere. */
  readonly version: string;
  /** Sorted by key. */
  readonly resources: readonly ResourceDocument[];
}
