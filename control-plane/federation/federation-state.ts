import { createHash } from 'node:crypto';
import { isSharedMode, readBoundedFile } from '#files/read-bounded-file.ts';
import { writeFileAtomically } from '#files/write-file-atomically.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { readSpiffeBundle, type SpiffeBundle } from '#policy/trust/spiffe-bundle.ts';
import { certificatesToPem } from '#policy/x509/pem.ts';

/** 64 domains of 32 KiB of roots, as PEM, and what else is said of them. */
const MAX_STATE_BYTES = 8 * 1024 * 1024;
const FORMAT = 1;

/** A bundle that was in force, as it is remembered. */
export interface RememberedBundle extends SpiffeBundle {
  /** Of the bundle that was configured then: a configured one that is another since counts as newer. */
  readonly configuredDigest: string;
  /** Undefined: it is the configured one. */
  readonly fetchedAtMs: number | undefined;
}

/** The bundles that were in force last, by trust domain, and the last sequence number of the mesh's own. */
export interface FederationMemory {
  readonly bundles: ReadonlyMap<string, RememberedBundle>;
  readonly own: OwnSequence | undefined;
}

export interface OwnSequence {
  readonly sequence: number;
  /** Of the roots that this number stands for. */
  readonly digest: string;
}

/** Where the memory outlives a restart. */
export interface FederationStore {
  /** Undefined: there is nothing of our making. */
  read(): Promise<FederationMemory | undefined>;
  write(memory: FederationMemory): Promise<void>;
}

export function digestOf(content: string | readonly Buffer[]): string {
  const parts = typeof content === 'string' ? [content] : content.map((part) => part.toString('base64'));
  return createHash('sha256').update(parts.join(' ')).digest('hex');
}

export function federationFile(path: string): FederationStore {
  return {
    async read() {
      const file = await readBoundedFile(path, MAX_STATE_BYTES);
      if (file === undefined) return undefined;
      // who can write it says whom the mesh believes
      if (isSharedMode(file.mode)) {
        throw new Error(
          `${path}: mode ${file.mode.toString(8)} is open to others, and it is not believed; run chmod 600 ${path}`,
        );
      }
      return memoryFromText(file.text);
    },
    write: (memory) => writeFileAtomically(path, memoryToText(memory)),
  };
}

export function memoryToText({ bundles, own }: FederationMemory): string {
  const domains = [...bundles].map(([trustDomain, one]) => ({
    trustDomain,
    roots: certificatesToPem(one.roots),
    sequence: one.sequence?.toString(),
    refreshHint: one.refreshHintS,
    configured: one.configuredDigest,
    fetchedAt: one.fetchedAtMs === undefined ? undefined : new Date(one.fetchedAtMs).toISOString(),
  }));
  return `${JSON.stringify({ format: FORMAT, domains, own })}\n`;
}

/** Undefined: it is not of our making. */
export function memoryFromText(text: string): FederationMemory | undefined {
  const value = parsed(text);
  if (!isRecord(value) || value.format !== FORMAT || !Array.isArray(value.domains)) return undefined;
  const bundles = new Map<string, RememberedBundle>();
  for (const entry of value.domains) {
    if (!isRecord(entry) || typeof entry.trustDomain !== 'string') continue;
    const bundle = bundleFrom(entry);
    if (bundle !== undefined) bundles.set(entry.trustDomain, bundle);
  }
  return { bundles, own: ownFrom(value.own) };
}

/** Apart from when it was fetched. */
export function isSameMemory(one: FederationMemory, other: FederationMemory): boolean {
  const text = ({ bundles, own }: FederationMemory) =>
    memoryToText({
      bundles: new Map(
        [...bundles].map(([name, bundle]) => [name, { ...bundle, fetchedAtMs: bundle.fetchedAtMs && 0 }]),
      ),
      own,
    });
  return text(one) === text(other);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Undefined: what cannot be read is as good as forgotten, and the configured bundle counts. */
function bundleFrom(entry: { readonly [field: string]: unknown }): RememberedBundle | undefined {
  const { roots, sequence, refreshHint, configured, fetchedAt } = entry;
  const fetchedAtMs = typeof fetchedAt === 'string' ? Date.parse(fetchedAt) : undefined;
  if (typeof roots !== 'string' || typeof configured !== 'string' || Number.isNaN(fetchedAtMs)) return undefined;
  try {
    return {
      ...readSpiffeBundle(roots),
      sequence: typeof sequence === 'string' ? BigInt(sequence) : undefined,
      refreshHintS: typeof refreshHint === 'number' ? refreshHint : undefined,
      configuredDigest: configured,
      fetchedAtMs,
    };
  } catch {
    return undefined;
  }
}

function ownFrom(value: unknown): OwnSequence | undefined {
  if (!isRecord(value) || typeof value.sequence !== 'number' || typeof value.digest !== 'string') return undefined;
  return { sequence: value.sequence, digest: value.digest };
}
