import { resourceKey } from '#policy/resource/resource-document.ts';
import type { ResourceDocument } from '#policy/resource-set.ts';
import { isRecord } from '#policy/schema/schema.ts';
import { setBounded } from '#policy/trust/set-bounded.ts';
import type { Mesh } from '#policy/workload-policy.ts';
import { certificatesFromPem } from '#policy/x509/pem.ts';
import type { SidecarRegistry, SidecarStatus } from '../discovery/sidecar-registry.ts';
import { fingerprint } from './rotation.ts';
import { TRUST_DOCUMENT_NAME } from './trust-documents.ts';

/** Sidecars that are remembered after they went; of more the oldest are forgotten, and counted. */
export const MAX_ABSENT_SIDECARS = 10_000;

/** Whether a sidecar trusts certain roots. */
export interface SidecarTrust {
  /** NAMESPACE/NAME. */
  readonly name: string;
  readonly identity: string;
  /** The last that it acknowledged holds all the roots. */
  readonly trusts: boolean;
  readonly isConnected: boolean;
  /** Of one that is not connected: its certificate has ended by then. */
  readonly untilMs: number;
}

/** What one replica knows of its sidecars. */
export interface TrustAnswer {
  readonly sidecars: readonly SidecarTrust[];
  /** It knows of none that went before. */
  readonly sinceMs: number;
  readonly forgotten: number;
}

export interface TrustSurveyOptions {
  readonly registry: Pick<SidecarRegistry, 'sidecars' | 'onRemoved'>;
  readonly mesh: Mesh;
  readonly leafLifetimeMs: number;
  readonly now: () => number;
}

interface Absent {
  readonly name: string;
  readonly identity: string;
  readonly untilMs: number;
  readonly acknowledged: ResourceDocument | undefined;
}

/** Which sidecars of this replica trust what, also those that are away and may come back with a certificate that is still good. */
export class TrustSurvey {
  readonly #options: TrustSurveyOptions;
  readonly #key: string;
  readonly #sinceMs: number;
  /** Oldest first. */
  readonly #absent = new Map<string, Absent>();
  readonly #stop: () => void;
  #forgotten = 0;

  constructor(options: TrustSurveyOptions) {
    this.#options = options;
    this.#key = resourceKey('TrustBundle', options.mesh.rootNamespace, TRUST_DOCUMENT_NAME);
    this.#sinceMs = options.now();
    this.#stop = options.registry.onRemoved((sidecar) => this.#remember(sidecar));
  }

  /** `roots`: fingerprints. */
  answer(roots: readonly string[]): TrustAnswer {
    const { registry, now } = this.#options;
    const trusts = (document: ResourceDocument | undefined) => {
      const known = document === undefined ? undefined : rootsIn(document);
      return roots.every((root) => known?.has(root) === true);
    };
    const connected = registry.sidecars.map((sidecar) => ({
      ...nameOf(sidecar),
      trusts: trusts(this.#acknowledged(sidecar)),
      isConnected: true,
      untilMs: 0,
    }));
    const present = new Set(connected.map(keyOf));
    const absent: SidecarTrust[] = [];
    for (const [key, { acknowledged, ...one }] of this.#absent) {
      if (present.has(key) || one.untilMs <= now()) this.#absent.delete(key);
      else absent.push({ ...one, trusts: trusts(acknowledged), isConnected: false });
    }
    return { sidecars: [...connected, ...absent], sinceMs: this.#sinceMs, forgotten: this.#forgotten };
  }

  close(): void {
    this.#stop();
  }

  #remember(sidecar: SidecarStatus): void {
    const { now, leafLifetimeMs } = this.#options;
    const named = nameOf(sidecar);
    const absent = { ...named, untilMs: now() + leafLifetimeMs, acknowledged: this.#acknowledged(sidecar) };
    if (setBounded(this.#absent, keyOf(named), absent, MAX_ABSENT_SIDECARS)) this.#forgotten += 1;
  }

  #acknowledged(sidecar: SidecarStatus): ResourceDocument | undefined {
    return sidecar.snapshots().inForce?.find(this.#key);
  }
}

function nameOf({ identity, workload }: SidecarStatus) {
  return { name: `${workload.namespace}/${workload.name}`, identity };
}

export function keyOf({ name, identity }: Pick<SidecarTrust, 'name' | 'identity'>): string {
  return `${name} ${identity}`;
}

/** One document is that of all sidecars. */
const rootsByDocument = new WeakMap<ResourceDocument, ReadonlySet<string>>();

/** Fingerprints of the roots of the own domain, which comes first. */
function rootsIn(document: ResourceDocument): ReadonlySet<string> {
  const known = rootsByDocument.get(document);
  if (known !== undefined) return known;
  const read: unknown = JSON.parse(document.document);
  const spec = isRecord(read) && isRecord(read.spec) ? read.spec : {};
  const own: unknown = Array.isArray(spec.domains) ? spec.domains[0] : undefined;
  const pems: readonly unknown[] = isRecord(own) && Array.isArray(own.roots) ? own.roots : [];
  const roots = new Set(pems.flatMap((pem) => certificatesFromPem(String(pem))).map(fingerprint));
  rootsByDocument.set(document, roots);
  return roots;
}
