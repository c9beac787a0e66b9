import type { CommandIo } from '../command.ts';
import { certificateState } from './certificate-state.ts';
import type { KnownProxy, SourceFacts } from './facts.ts';
import type { MergedProxies } from './merge-proxies.ts';
import { plaintextState, showPlaintext } from './show-plaintext.ts';
import { age, plain, table } from './table.ts';

/** Digits of a version that are shown: enough to tell versions apart. */
const SHOWN_VERSION_LENGTH = 12;

/** The table on stdout; what concerns the whole mesh on stderr. */
export function showProxies(
  { proxies, sources }: MergedProxies,
  namespace: string | undefined,
  nowMs: number,
  io: CommandIo,
): void {
  if (proxies.length > 0) io.stdout(table([HEADER, ...proxies.map((proxy) => row(proxy, nowMs))]));
  for (const { workload, refused } of proxies) {
    if (refused === null) continue;
    const when = refused.at === '' ? '' : `, ${age(refused.at, nowMs)} ago`;
    const version = refused.version === '' ? '' : ` version ${shortVersion(refused.version)}`;
    io.stdout(
      `\n${plain(workload.namespace)}/${plain(workload.name)} refused${version}${when}; what it had stays in force:\n`,
    );
    for (const reason of refused.reasons) io.stdout(`  ${plain(reason)}\n`);
  }
  showPlaintext(proxies, nowMs, io);
  for (const source of sources) showSource(source, sources.length > 1, io);
  const where = namespace === undefined ? '' : ` of namespace ${namespace}`;
  if (proxies.length === 0)
    io.stderr(
      `no sidecar${where} is connected${namespace === undefined ? '' : '; without NAMESPACE, all are shown'}\n`,
    );
}

const HEADER = [
  'NAME',
  'NAMESPACE',
  'IDENTITY',
  'STATE',
  'POLICIES',
  'CERTIFICATE',
  'PLAINTEXT',
  'VERSION',
  'CONNECTED',
  'FROM',
];

function row(proxy: KnownProxy, nowMs: number): readonly string[] {
  const { workload, state, inForceVersion, sidecarVersion, connectedAt, peer, replica } = proxy;
  const cells = [
    workload.name,
    workload.namespace,
    `${workload.namespace}/${workload.serviceAccount}`,
    state,
    shortVersion(inForceVersion) || 'none',
    certificateState(proxy.certificate, nowMs),
    plaintextState(proxy.plaintext, nowMs),
    sidecarVersion || '-',
    age(connectedAt, nowMs) || '-',
    replica === undefined ? peer || '-' : `${peer} at ${replica}`,
  ];
  return cells.map(plain);
}

function showSource(
  { name, version, resources, isInForce, problems }: SourceFacts & { readonly name: string },
  isOneOfMany: boolean,
  io: CommandIo,
): void {
  const who = isOneOfMany ? `${name}: ` : '';
  io.stderr(`${who}${resources} resources in force (${shortVersion(version)})\n`);
  if (isInForce) return;
  io.stderr(`${who}the policies as they are now are not in force, since they have errors:\n`);
  for (const problem of problems) io.stderr(`  ${plain(problem)}\n`);
}

function shortVersion(version: string): string {
  return version.slice(0, SHOWN_VERSION_LENGTH);
}
