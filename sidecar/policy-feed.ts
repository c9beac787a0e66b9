import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { spiffeId } from '#policy/identity/spiffe-id.ts';
import type { Mesh, Workload } from '#policy/workload-policy.ts';
import { type SidecarConfiguration, splitHostPort } from './configuration/sidecar-configuration.ts';
import type { DecisionReporter } from './control/decision-reporter.ts';
import type { OpenTap } from './control/relay-tap.ts';
import type { ListPlaintextCallers } from './control/sidecar-vitals.ts';
import type { CredentialSource } from './identity/credentials.ts';
import { RenewalRecord } from './identity/renewal-record.ts';
import { logEvent } from './operational-log.ts';
import type { PolicySource } from './policy/policy-source.ts';

/** Where identity and policies come from: the control plane or files. */
export interface PolicyFeed {
  readonly credentials: CredentialSource;
  readonly renewals: RenewalRecord;
  readonly policies: PolicySource;
  /** Takes decisions for the control plane; absent when standalone. */
  readonly observer: DecisionReporter | undefined;
  close(): Promise<void>;
}

/** What the feed needs of the sidecar. */
export interface FeedHooks {
  /** Policies were refused, for these reasons. */
  readonly onRefused: (reasons: readonly string[]) => void;
  readonly openTap: OpenTap;
  /** Who was let in without an identity; default: nobody is known. */
  readonly plaintextCallers?: ListPlaintextCallers;
}

/** Opens the feed that the configuration names; standalone sidecars load nothing of gRPC. */
export async function openPolicyFeed(
  configuration: SidecarConfiguration,
  baseDirectory: string,
  workload: Workload,
  mesh: Mesh,
  { onRefused, openTap, plaintextCallers }: FeedHooks,
): Promise<PolicyFeed> {
  const inFolder = (path: string) => resolve(baseDirectory, path);
  const { controlPlane, standalone, stateDirectory } = configuration;
  if (controlPlane !== undefined) {
    const { connectControlPlane } = await import('./control/connect-control-plane.ts');
    const { tokenFile } = controlPlane;
    return connectControlPlane({
      address: controlPlane.address,
      trustBundlePem: isPem(controlPlane.trustBundle)
        ? controlPlane.trustBundle
        : await readFile(inFolder(controlPlane.trustBundle), 'utf8'),
      tokenFile: tokenFile === undefined ? undefined : inFolder(tokenFile),
      workload,
      mesh,
      ports: configuration.inbound.flatMap(({ app = '', ports }) => [
        ...(configuration.interception === 'none' ? [splitHostPort(app)?.port ?? 0] : Object.keys(ports).map(Number)),
      ]),
      stateDirectory: stateDirectory === undefined ? undefined : inFolder(stateDirectory),
      log: logEvent,
      openTap,
      ...(plaintextCallers === undefined ? {} : { plaintextCallers }),
    });
  }
  if (standalone === undefined) throw new Error('neither controlPlane nor standalone is configured');
  const { watchCredentialFiles } = await import('./standalone/file-credentials.ts');
  const { StandaloneSource } = await import('./standalone/standalone-source.ts');
  const { certificate, privateKey, trustBundle, policies, federation = [] } = standalone;
  const files = {
    certificate: inFolder(certificate),
    privateKey: inFolder(privateKey),
    trustBundle: inFolder(trustBundle),
    federation: federation.map(({ trustDomain, bundle }) => ({ trustDomain, bundle: inFolder(bundle) })),
  };
  const own = spiffeId(mesh.trustDomain, workload.namespace, workload.serviceAccount);
  const renewals = new RenewalRecord();
  const credentials = await watchCredentialFiles(files, own, (message) => {
    renewals.noteFailed({ code: 'credentials_refused', reason: message, atMs: Date.now() });
    logEvent('credentials_refused', { message });
  });
  credentials.onRenewal(() => renewals.noteRenewed(Date.now()));
  const source = new StandaloneSource(
    inFolder(policies),
    workload,
    mesh,
    (message) => logEvent('policy_problem', { message }),
    onRefused,
  );
  return {
    credentials,
    renewals,
    policies: source,
    observer: undefined,
    close: async () => {
      source.close();
      credentials.close();
    },
  };
}

function isPem(text: string): boolean {
  return text.startsWith('-----BEGIN');
}
