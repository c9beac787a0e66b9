import { setTimeout as wait } from 'node:timers/promises';
import type { AuthorityFacts } from '#control-plane/authority/authority-facts.ts';
import type { AuthorityChange, RevocationSubject } from '#control-plane/authority/authority-operations.ts';
import { SERIAL_KEPT_MS, serialText } from '#control-plane/authority/revocations.ts';
import { parseDuration } from '#policy/schema/duration.ts';
import { type Command, type CommandIo, UsageError } from '../command.ts';
import { durationMs } from '../duration.ts';
import { parseOptions } from '../offline/parse-options.ts';
import { type AuthoritySource, NotLetIn, openAuthoritySource } from '../operations/authority-source.ts';
import { REACH_HELP, REACH_OPTIONS, reachOf } from '../operations/reach-options.ts';
import { showAuthority, showRevocations, stageSentence, waitingLines } from '../operations/show-authority.ts';

/** `--wait` looks this often. */
const LOOK_INTERVAL_MS = 2_000;
const DEFAULT_TIMEOUT = '24h';
/** What the control plane judges to the letter. */
const IDENTITY = /^(spiffe:\/\/[^\s/]+\/ns\/[^\s/]+\/sa\/[^\s/]+|[A-Za-z0-9._-]+\/[A-Za-z0-9._-]+)$/;

const OPTIONS = {
  json: { type: 'boolean', default: false },
  wait: { type: 'boolean', default: false },
  timeout: { type: 'string' },
  force: { type: 'boolean', default: false },
  identity: { type: 'string' },
  serial: { type: 'string' },
  until: { type: 'string' },
  ...REACH_OPTIONS,
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values'];

export const caCommand: Command = {
  name: 'ca',
  summary: 'the certificate authority: its roots, a change of the root, revocations',
  help: `Usage: lateral ca status
       lateral ca rotate [--wait [--timeout ${DEFAULT_TIMEOUT}]]
       lateral ca finish [--force]
       lateral ca cancel
       lateral ca revoke --identity SPIFFE-ID|NAMESPACE/SERVICE-ACCOUNT
       lateral ca revoke --serial HEX [--until TIME]
       lateral ca reinstate --identity …|--serial HEX
       lateral ca list

Changes the root of the mesh in stages, so that no connection fails on the way:

  trusting   a new root is handed to every sidecar, and signs nothing. It goes on once all that are connected have
             acknowledged it, and those that went away without it came back, or their certificates have ended.
  signing    the new root signs, sidecars get certificates under it as they renew. The old one stays trusted until
             the last certificate under it has ended; then it is retired by itself.

\`rotate\` begins; the rest goes by itself. \`status\` tells the stage and who is waited for. A plugged-in authority (one
without root-key.pem) is changed by its files, and not by this command, which then says how. \`cancel\` takes a change back that is in \`trusting\`.

  --wait                  stays until the new root signs, and names who is waited for
  --timeout DURATION      with --wait: how long (default ${DEFAULT_TIMEOUT}; exit code 1 then)
  --force                 finish: goes on to the next stage without waiting. In \`trusting\` that cuts off sidecars that
                          do not know the new root; in \`signing\` those whose certificate is of the old one

Revoking takes an identity or one certificate from everybody's trust, within a second: connections end, open ones too,
and nothing is signed for it. It lasts until \`reinstate\`; that of a certificate until its end.

  --identity ID           spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT, or NAMESPACE/SERVICE-ACCOUNT
  --serial HEX            serial number of a certificate (\`openssl x509 -serial\`, \`lateral proxies --json\`)
  --until TIME            when that certificate ends: a time (2026-01-31T00:00:00Z) or a duration from now (24h);
                          default 90d, longer than which none lives

  --json                  one JSON object: how the authority is (then)
${REACH_HELP}

Examples:
  lateral ca status
  lateral ca rotate --wait
  lateral ca revoke --identity shop/orders
  lateral ca revoke --serial 5f3a09c1d2e44b6781aa30b2c7d1e0f4 --until 24h --control-plane 127.0.0.1:15012 --token-file operator.token
`,
  async run(args, io) {
    const { values, positionals } = parseOptions(args, OPTIONS);
    const [action, ...more] = positionals;
    if (more.length > 0) throw new UsageError(`${more.join(' ')} is too much`);
    const task = taskOf(action, values);
    const source = await openAuthoritySource(reachOf(values, process.env), process.env);
    try {
      return await perform(task, source, values, io);
    } finally {
      source.close();
    }
  },
};

type Task =
  | { readonly kind: 'show'; readonly what: 'status' | 'list' }
  | { readonly kind: 'change'; readonly change: AuthorityChange };

function taskOf(action: string | undefined, values: Values): Task {
  const { identity, serial, until, force } = values;
  if (action !== 'rotate' && (values.wait || values.timeout !== undefined)) {
    throw new UsageError('--wait and --timeout belong to rotate');
  }
  if (values.timeout !== undefined && !values.wait) throw new UsageError('--timeout needs --wait');
  if (action !== 'finish' && force) throw new UsageError('--force belongs to finish');
  const isOfRevocation = action === 'revoke' || action === 'reinstate';
  if (!isOfRevocation && (identity !== undefined || serial !== undefined)) {
    throw new UsageError('--identity and --serial belong to revoke and reinstate');
  }
  if (until !== undefined && (action !== 'revoke' || serial === undefined)) {
    throw new UsageError('--until belongs to revoke --serial');
  }
  switch (action) {
    case 'status':
    case 'list':
      return { kind: 'show', what: action };
    case 'rotate':
      return { kind: 'change', change: { kind: 'rotate' } };
    case 'finish':
      return { kind: 'change', change: { kind: 'finish', isForced: force } };
    case 'cancel':
      return { kind: 'change', change: { kind: 'cancel' } };
    case 'revoke':
      return { kind: 'change', change: { kind: 'revoke', subject: subjectOf(values), untilMs: untilMs(until) } };
    case 'reinstate':
      return { kind: 'change', change: { kind: 'reinstate', subject: subjectOf(values) } };
    default:
      throw new UsageError(
        `${action === undefined ? 'say what' : `${JSON.stringify(action)} is not known`}: status, rotate, finish, cancel, revoke, reinstate or list`,
      );
  }
}

function subjectOf({ identity, serial }: Values): RevocationSubject {
  if (identity !== undefined && serial === undefined) {
    if (IDENTITY.test(identity)) return { kind: 'identity', identity };
    throw new UsageError(`--identity ${JSON.stringify(identity)} is neither a SPIFFE ID nor NAMESPACE/SERVICE-ACCOUNT`);
  }
  if (serial !== undefined && identity === undefined) {
    if (serialText(serial) !== undefined) return { kind: 'serial', serial };
    throw new UsageError(`--serial ${JSON.stringify(serial)} is no serial number: 1 to 40 hexadecimal digits`);
  }
  throw new UsageError('give --identity or --serial, one of them');
}

function untilMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const fromNowMs = parseDuration(text);
  const atMs = fromNowMs === undefined ? Date.parse(text) : Date.now() + fromNowMs;
  if (Number.isNaN(atMs)) throw new UsageError(`--until ${text} is neither a time nor a duration such as 24h`);
  if (atMs <= Date.now())
    throw new UsageError(`--until ${text} is over: a certificate that has ended needs no revocation`);
  if (atMs > Date.now() + SERIAL_KEPT_MS) throw new UsageError(`--until ${text} is more than 90 days from now`);
  return atMs;
}

async function perform(task: Task, source: AuthoritySource, values: Values, io: CommandIo): Promise<number> {
  const timeoutMs = durationMs('--timeout', values.timeout ?? DEFAULT_TIMEOUT);
  let facts = task.kind === 'show' ? await source.facts() : await source.change(task.change);
  let isDone = true;
  if (values.wait) {
    const next = facts.roots.find(({ role }) => role === 'next')?.fingerprint;
    facts = await waitUntilSigning(source, facts, timeoutMs, io);
    isDone = signsUnderNew(facts, next);
  }
  if (values.json) io.stdout(`${JSON.stringify(facts)}\n`);
  else if (task.kind === 'show' && task.what === 'list') showRevocations(facts, io);
  else if (task.kind === 'show') showAuthority(facts, io);
  else io.stdout(`${told(task.change, facts)}\n`);
  return isDone ? 0 : 1;
}

/** Also where the former root is retired meanwhile; not where the change was taken back. */
function signsUnderNew({ stage, roots }: AuthorityFacts, next: string | undefined): boolean {
  if (stage === 'trusting' || stage === 'promoting') return false;
  return next === undefined || roots.some(({ fingerprint, role }) => fingerprint === next && role === 'own');
}

function told(change: AuthorityChange, facts: AuthorityFacts): string {
  if (change.kind === 'rotate' || change.kind === 'finish' || change.kind === 'cancel') {
    return [stageSentence(facts), ...waitingLines(facts.waitsFor).map((line) => `  ${line}`)].join('\n');
  }
  const { subject } = change;
  const named = subject.kind === 'identity' ? subject.identity : `the certificate with serial number ${subject.serial}`;
  if (change.kind === 'reinstate') return `${named} is believed again`;
  return `${named} is revoked; \`lateral ca reinstate --${subject.kind} …\` takes it back`;
}

const GOES_ON = 'The change goes on by itself: `lateral ca status` tells how far it is';

/** Tells on stderr what has changed; a control plane that does not answer for a while is asked again. */
async function waitUntilSigning(
  source: AuthoritySource,
  first: AuthorityFacts,
  timeoutMs: number,
  io: CommandIo,
): Promise<AuthorityFacts> {
  const deadlineMs = Date.now() + timeoutMs;
  let facts = first;
  let last = '';
  for (;;) {
    const lines = [stageSentence(facts), ...waitingLines(facts.waitsFor)].join('; ');
    if (lines !== last) io.stderr(`${lines}\n`);
    last = lines;
    if ((facts.stage !== 'trusting' && facts.stage !== 'promoting') || Date.now() >= deadlineMs) return facts;
    await wait(Math.min(LOOK_INTERVAL_MS, Math.max(0, deadlineMs - Date.now())));
    try {
      facts = await source.facts();
    } catch (error) {
      if (error instanceof NotLetIn) throw new Error(`${error.message}. ${GOES_ON}`);
      io.stderr(`${error instanceof Error ? error.message : String(error)}; asking again\n`);
    }
  }
}
