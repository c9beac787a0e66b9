import process from 'node:process';
import { type Authority, CLOCK_SKEW_MS, createAuthority, LEAF_LIFETIME_MS } from '../authority/authority.ts';
import { AuthorityKeeper, type KeptAuthority } from '../authority/authority-keeper.ts';
import { directoryBackend } from '../authority/directory-backend.ts';
import { encryptedBackend } from '../authority/encrypted-state.ts';
import { LeafEnds } from '../authority/leaf-ends.ts';
import { readWrappingKey } from '../authority/read-wrapping-key.ts';
import { currentRevocations } from '../authority/revocations.ts';
import { fingerprintOfRoots } from '../authority/rotation.ts';
import type { AuthorityBackend } from '../authority/state-store.ts';
import { revocationListDocument, type TrustedDomain, trustBundleDocument } from '../authority/trust-documents.ts';
import type { ControlPlaneConfiguration } from '../configuration.ts';
import type { PolicyDistribution } from '../discovery/policy-distribution.ts';
import type { EventLog } from '../event-log.ts';
import type { Kubernetes } from '../kubernetes/open-kubernetes.ts';
import type { Closer } from './closer.ts';

/** So often is looked whether a root is to be trusted no longer, or a change of the root goes on. */
export const AUTHORITY_TICK_MS = 1_000;

export interface AuthorityOptions {
  readonly leafLifetimeMs?: number;
  readonly log: EventLog;
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** An authority that is in force, and what keeps it so. */
export interface RunningAuthority {
  readonly authority: Authority;
  readonly keeper: AuthorityKeeper;
  readonly kept: KeptAuthority;
  /** Tells sidecars whom to trust, with the roots of other domains as `federated` has them; again whenever that is called. */
  publish(distribution: Pick<PolicyDistribution, 'publishOwn'>, federated: () => readonly TrustedDomain[]): () => void;
  /** Follows the store from now on; `onTrustChange`: certificates and roots are others than before. */
  keep(onTrustChange: () => void, onTick: () => void): void;
}

export function leafTimes(
  { authority }: Pick<ControlPlaneConfiguration, 'authority'>,
  options: { readonly leafLifetimeMs?: number },
) {
  return {
    leafLifetimeMs: options.leafLifetimeMs ?? authority.leafLifetimeMs ?? LEAF_LIFETIME_MS,
    clockSkewMs: authority.clockSkewMs ?? CLOCK_SKEW_MS,
  };
}

/** Opens the authority of the directory or the Secret; waits for the API server, however long. */
export async function startAuthority(
  configuration: Pick<ControlPlaneConfiguration, 'authority' | 'mesh' | 'trustDomainAliases'>,
  kubernetes: Kubernetes | undefined,
  options: AuthorityOptions,
  closers: Closer[],
): Promise<RunningAuthority> {
  const { mesh, trustDomainAliases = [] } = configuration;
  const { log, now } = options;
  const times = leafTimes(configuration, options);
  const seal = await sealOf(configuration, log);
  const keeper = keeperOf(configuration, kubernetes, options, times.leafLifetimeMs, seal);
  let hasEnded = false;
  closers.push(() => {
    hasEnded = true;
    return keeper.close();
  });
  let kept = await keeper.open();
  const ends = new LeafEnds(times.leafLifetimeMs, (markMs) => {
    keeper
      .change((state) => ((state.leavesEndMs ?? 0) >= markMs ? state : { ...state, leavesEndMs: markMs }))
      .catch((error: unknown) => {
        if (!hasEnded) log('leaves_end_not_stored', { error: String(error) });
      });
  });
  ends.known(kept.state.leavesEndMs);
  const authority = createAuthority(kept.material, { ...times, now, onIssued: (ms) => ends.signed(ms) });
  authority.revocations.set(kept.state.revocations);
  let publishAgain = () => {};
  let trusted = fingerprintOfRoots(authority.trustBundle);

  const take = (changed: KeptAuthority, onTrustChange: () => void) => {
    const isAnother = !changed.material.issuer.certificate.equals(kept.material.issuer.certificate);
    authority.revocations.set(changed.state.revocations); // before what may fail
    ends.known(changed.state.leavesEndMs);
    kept = changed;
    authority.replace(changed.material);
    publishAgain(); // before connections that stand on a root which is gone are cut
    const roots = fingerprintOfRoots(authority.trustBundle);
    if (!isAnother && roots === trusted) return;
    trusted = roots;
    onTrustChange();
    log('authority_changed', {
      issuerExpiresAt: new Date(authority.issuerNotAfterMs).toISOString(),
      roots: authority.trustBundle.length,
    });
  };

  return {
    authority,
    keeper,
    get kept() {
      return kept;
    },
    publish(distribution, federated) {
      let last = '';
      let failure = '';
      let listed = currentRevocations(kept.state.revocations, now());
      let list = revocationListDocument(mesh, listed);
      const publishNow = () => {
        const revocations = currentRevocations(kept.state.revocations, now());
        if (revocations !== listed) list = revocationListDocument(mesh, revocations); // thousands, and asked every second
        listed = revocations;
        const bundle = trustBundleDocument(mesh, authority.trustBundle, federated(), trustDomainAliases);
        const documents = [bundle, list];
        const versions = documents.map(({ version }) => version).join(' ');
        if (versions === last) return;
        last = versions;
        distribution.publishOwn(documents);
      };
      publishNow(); // what cannot be read by sidecars ends the start, and later leaves them what they have
      publishAgain = () => {
        try {
          publishNow();
          failure = '';
        } catch (error) {
          if (failure !== String(error)) log('trust_not_published', { error: String(error) });
          failure = String(error);
        }
      };
      return () => publishAgain();
    },
    keep(onTrustChange, onTick) {
      keeper.keep((changed) => take(changed, onTrustChange));
      const timer = setInterval(() => {
        take(kept, onTrustChange); // a root whose time is over is trusted no longer, though nothing was stored
        onTick();
      }, AUTHORITY_TICK_MS);
      timer.unref();
      closers.push(() => clearInterval(timer));
    },
  };
}

type Seal = (backend: AuthorityBackend) => AuthorityBackend;

/** Keys are encrypted where they are kept, if that is configured. */
async function sealOf(
  { authority: { keyEncryption } }: Pick<ControlPlaneConfiguration, 'authority'>,
  log: EventLog,
): Promise<Seal> {
  const wrapping = keyEncryption === undefined ? undefined : await readWrappingKey(keyEncryption, process.env);
  return (backend) => encryptedBackend(backend, wrapping, log);
}

function keeperOf(
  { authority, mesh }: Pick<ControlPlaneConfiguration, 'authority' | 'mesh'>,
  kubernetes: Kubernetes | undefined,
  { log, signal, now }: AuthorityOptions,
  leafLifetimeMs: number,
  seal: Seal,
): AuthorityKeeper {
  if (authority.kind === 'kubernetesSecret') {
    if (kubernetes === undefined) throw new Error('authority.kubernetesSecret needs a Kubernetes API server');
    return kubernetes.authority(authority.name, seal);
  }
  const backend = seal(directoryBackend(authority.directory));
  return new AuthorityKeeper({ backend, mesh, leafLifetimeMs, isLeader: () => true, log, signal, now });
}
