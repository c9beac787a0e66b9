import type { AuthorityFacts } from '#control-plane/authority/authority-facts.ts';
import type { AuthorityChange, RevocationSubject } from '#control-plane/authority/authority-operations.ts';
import { GRPC } from '#policy/error/code-entry.ts';
import { type ChangeAuthorityRequest, OperationsService } from '#proto/gen/lateral/v1/operations.ts';
import { UsageError } from '../command.ts';
import { readAuthorityFacts } from './authority-page.ts';
import { connectAsOperator } from './connect-as-operator.ts';
import type { Dial } from './dial.ts';
import { getPage, postJson } from './get-page.ts';
import { CONSOLE_PORT } from './open-sources.ts';
import type { ControlPlaneReach, Reach } from './reach-options.ts';

/** A control plane that does not answer by then is taken as away. */
const CALL_TIMEOUT_MS = 20_000;
const NOT_LET_IN: ReadonlySet<number | undefined> = new Set([GRPC.unauthenticated, GRPC.permissionDenied]);
const AUTHORITY_PAGE = '/authority';

/** The control plane does not let this caller in, and will not the next time. */
export class NotLetIn extends Error {}

/** The authority of a mesh, by one of its control planes. Calls reject with a sentence. */
export interface AuthoritySource {
  facts(): Promise<AuthorityFacts>;
  /** Makes a change; resolves to how things are then. */
  change(change: AuthorityChange): Promise<AuthorityFacts>;
  close(): void;
}

/** Reaches a control plane; of a cluster the first replica that is ready, since all know the same. */
export async function openAuthoritySource(reach: Reach, environment: NodeJS.ProcessEnv): Promise<AuthoritySource> {
  if (reach.kind === 'sidecar') {
    throw new UsageError('a sidecar has no authority; leave --sidecar out, or name the --control-plane');
  }
  if (reach.kind === 'control-plane') return byCalls(reach.at);
  const { openCluster } = await import('../cluster/cluster.ts');
  const cluster = await openCluster(reach.at, environment);
  try {
    const [pod] = await cluster.controlPlanePods(reach.at.namespace);
    if (pod === undefined) throw new Error('no control plane is ready');
    return authorityPage(() => cluster.forward(pod, CONSOLE_PORT));
  } finally {
    cluster.close(); // connections to pods are their own
  }
}

/** By the page of the control plane's loopback; who reaches that has been let through to it. */
export function authorityPage(dial: Dial): AuthoritySource {
  return {
    facts: async () => readAuthorityFacts(await getPage(dial, AUTHORITY_PAGE)),
    change: async (change) => readAuthorityFacts(await postJson(dial, AUTHORITY_PAGE, bodyOf(change))),
    close() {},
  };
}

async function byCalls(reach: ControlPlaneReach): Promise<AuthoritySource> {
  const { client, metadata, callFailure } = await connectAsOperator(reach);
  const call = <Request>(
    method: typeof OperationsService.getAuthority | typeof OperationsService.changeAuthority,
    serialize: (request: Request) => Buffer,
    request: Request,
  ): Promise<AuthorityFacts> =>
    new Promise((resolve, reject) => {
      const { path, responseDeserialize } = method;
      const options = { deadline: Date.now() + CALL_TIMEOUT_MS };
      client.makeUnaryRequest(path, serialize, responseDeserialize, request, metadata, options, (error, answer) => {
        if (error !== null || answer === undefined) {
          const message = `control plane ${reach.address}: ${callFailure(error)}`;
          reject(NOT_LET_IN.has(error?.code) ? new NotLetIn(message) : new Error(message));
          return;
        }
        try {
          resolve(readAuthorityFacts(JSON.parse(answer.facts)));
        } catch (fault) {
          reject(fault);
        }
      });
    });
  const { getAuthority, changeAuthority } = OperationsService;
  return {
    facts: () => call(getAuthority, getAuthority.requestSerialize, {}),
    change: (change) => call(changeAuthority, changeAuthority.requestSerialize, requestOf(change)),
    close: () => client.close(),
  };
}

function requestOf(change: AuthorityChange): ChangeAuthorityRequest {
  switch (change.kind) {
    case 'rotate':
      return { change: { $case: 'rotate', value: {} } };
    case 'finish':
      return { change: { $case: 'finish', value: { force: change.isForced } } };
    case 'cancel':
      return { change: { $case: 'cancel', value: {} } };
    case 'revoke':
      return { change: { $case: 'revoke', value: { ...subjectOf(change.subject), untilMs: change.untilMs ?? 0 } } };
    case 'reinstate':
      return { change: { $case: 'reinstate', value: { ...subjectOf(change.subject), untilMs: 0 } } };
  }
}

function subjectOf(subject: RevocationSubject) {
  return subject.kind === 'identity'
    ? { subject: { $case: 'identity' as const, value: subject.identity } }
    : { subject: { $case: 'serial' as const, value: subject.serial } };
}

function bodyOf(change: AuthorityChange): unknown {
  if (change.kind === 'rotate') return { rotate: {} };
  if (change.kind === 'cancel') return { cancel: {} };
  if (change.kind === 'finish') return { finish: { force: change.isForced } };
  const { kind, subject } = change;
  const named = subject.kind === 'identity' ? { identity: subject.identity } : { serial: subject.serial };
  return { [kind]: { ...named, ...(kind === 'revoke' ? { untilMs: change.untilMs } : {}) } };
}
