import type { AuthorityFacts, WaitingFacts } from '#control-plane/authority/authority-facts.ts';
import { durationText } from '#policy/schema/duration.ts';
import type { CommandIo } from '../command.ts';
import { plain, table } from './table.ts';

/** Digits of a fingerprint that are shown: enough to tell roots apart. */
const SHOWN_FINGERPRINT = 16;

/** The roots, the state of a change, and what it waits for. */
export function showAuthority(facts: AuthorityFacts, io: CommandIo): void {
  const { trustDomain, issuerEnds, leafLifetimeMs, roots, revocations } = facts;
  io.stdout(
    `trust domain ${plain(trustDomain)}; certificates live ${durationText(leafLifetimeMs)}, the issuer until ${plain(issuerEnds)}\n\n`,
  );
  const rows = roots.map(({ role, fingerprint, notAfter, trustedUntil, subject }) =>
    [role, fingerprint.slice(0, SHOWN_FINGERPRINT), notAfter, trustedUntil ?? '-', subject].map(plain),
  );
  io.stdout(table([['ROOT', 'SHA-256', 'ENDS', 'TRUSTED UNTIL', 'SUBJECT'], ...rows]));
  io.stdout(`\n${stageSentence(facts)}\n`);
  for (const line of waitingLines(facts.waitsFor)) io.stdout(`  ${line}\n`);
  const { identities, serials } = revocations;
  const count = identities.length + serials.length;
  if (count > 0) io.stdout(`${count} revocations are in force; \`lateral ca list\` shows them\n`);
}

export function stageSentence({ stage, startedAt, retiresAt, isForced }: AuthorityFacts): string {
  switch (stage) {
    case 'none':
      return 'the root is not being changed';
    case 'trusting':
      return `trusting: since ${startedAt} the new root is handed out, and signs nothing yet${isForced ? '; it will in a moment, by force' : ''}`;
    case 'promoting':
      return 'promoting: the new root is put in the place of the old one';
    case 'signing':
      return `signing: certificates are signed under the new root; the old one is trusted until ${retiresAt}, and then retired by itself`;
  }
}

/** Who keeps the new root from signing. */
export function waitingLines(waitsFor: WaitingFacts | null): readonly string[] {
  if (waitsFor === null) return [];
  const { trusting, pending, pendingCount, absent, absentCount, silentReplicas, settlesAt, forgotten } = waitsFor;
  const shown = (names: readonly string[], count: number) =>
    `${names.map(plain).join(', ')}${count > names.length ? ` and ${count - names.length} more` : ''}`;
  return [
    `${trusting} sidecars trust it`,
    ...(pendingCount === 0
      ? []
      : [`waits for ${pendingCount} that have not acknowledged it: ${shown(pending, pendingCount)}`]),
    ...(absentCount === 0
      ? []
      : [
          `waits for ${absentCount} that are away with a certificate that is still good: ${shown(
            absent.map(({ name, until }) => `${name} (until ${until})`),
            absentCount,
          )}`,
        ]),
    ...(silentReplicas.length === 0
      ? []
      : [`waits for replicas that do not answer: ${shown(silentReplicas, silentReplicas.length)}`]),
    ...(settlesAt === null
      ? []
      : [
          `waits until ${settlesAt}: a control plane has just started, and its sidecars are coming back, or other meshes fetch it`,
        ]),
    ...(forgotten === 0 ? [] : [`${forgotten} more are away, which there was no room to remember`]),
  ];
}

export function showRevocations({ revocations: { identities, serials } }: AuthorityFacts, io: CommandIo): void {
  if (identities.length + serials.length === 0) {
    io.stderr('nothing is revoked\n');
    return;
  }
  const rows = [
    ...identities.map(({ id, at }) => ['identity', id, at, '-']),
    ...serials.map(({ serial, at, until }) => ['serial', serial, at, until]),
  ];
  io.stdout(table([['WHAT', 'WHICH', 'SINCE', 'UNTIL'], ...rows.map((row) => row.map(plain))]));
}
