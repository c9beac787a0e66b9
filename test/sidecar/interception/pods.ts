import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { TestAuthority } from '../../support/certificates.ts';
import { until } from '../../support/inbound-sidecar.ts';
import type { ClientAnswer, ClientQuestion } from './pod-client.ts';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const lateral = here('../../../bin/lateral.mjs');
const SIDECAR_UID = 1337;
const APP_UID = 2000;

/** Why these tests cannot run here; undefined: they can. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root, for network namespaces of its own';
  for (const program of ['ip', 'iptables-restore', 'ip6tables-restore', 'setpriv']) {
    try {
      execFileSync('which', [program]);
    } catch {
      return `needs ${program}`;
    }
  }
  try {
    execFileSync('ip', ['netns', 'add', `lateral-${process.pid}-try`], { stdio: 'pipe' });
    execFileSync('ip', ['netns', 'del', `lateral-${process.pid}-try`]);
    return undefined;
  } catch (error) {
    return `cannot make a network namespace: ${String(error)}`;
  }
}

export interface Pod {
  readonly name: string;
  readonly sidecar: ChildProcess;
  /** The access log, and whatever else the sidecar said on stdout. */
  readonly lines: readonly LogLine[];
  readonly events: readonly string[];
  /** A container of the pod calls. */
  ask(question: ClientQuestion): Promise<ClientAnswer>;
  /** The same as the sidecar's own user, which is not redirected. */
  askAsProxy(question: ClientQuestion): Promise<ClientAnswer>;
  /** Runs a program in the network namespace of the pod, as root. */
  run(program: string, ...args: string[]): string;
  /** Waits for a line of the access log that matches. */
  logged(wanted: { readonly [field: string]: unknown }): Promise<LogLine | undefined>;
}

export type LogLine = { readonly [field: string]: unknown };

export interface PodOptions {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly initOptions: readonly string[];
  /** Lines of the sidecar's configuration. */
  readonly inbound: string;
  readonly more: string;
}

/** Two pods `a` and `b` of namespace test, joined by a wire, each with an app, a sidecar, and the rules of `lateral init`. */
export async function startPods(
  t: Test,
  policies: string,
  [left, right]: readonly [PodOptions, PodOptions],
): Promise<{ readonly a: Pod; readonly b: Pod; setPolicies(text: string): Promise<void> }> {
  const directory = t.testdir();
  const authority = new TestAuthority();
  const folder = join(directory, 'policies');
  await mkdir(folder);
  await writeFile(join(folder, 'policies.yaml'), policies);
  await writeFile(join(directory, 'ca.pem'), authority.rootPem);
  const namespaceOf = ({ name }: PodOptions) => `lateral-${process.pid}-${name}`;
  for (const options of [left, right]) {
    const namespace = namespaceOf(options);
    execFileSync('ip', ['netns', 'add', namespace]);
    t.teardown(() => execFileSync('ip', ['netns', 'del', namespace]));
  }
  const inNamespace = (namespace: string, ...args: string[]) => execFileSync('ip', ['-n', namespace, ...args]);
  execFileSync('ip', [
    ...['link', 'add', 'eth0', 'netns', namespaceOf(left), 'type', 'veth'],
    ...['peer', 'name', 'eth0', 'netns', namespaceOf(right)],
  ]);
  for (const options of [left, right]) {
    const namespace = namespaceOf(options);
    inNamespace(namespace, 'link', 'set', 'lo', 'up');
    inNamespace(namespace, 'link', 'set', 'eth0', 'up');
    for (const address of options.addresses) {
      const isIpv6 = address.includes(':');
      // only the first is what connections come from
      const lifetime = address === options.addresses.find((other) => other.includes(':')) ? [] : ['preferred_lft', '0'];
      const ipv6Options = isIpv6 ? ['nodad', ...lifetime] : [];
      inNamespace(namespace, 'address', 'add', address, 'dev', 'eth0', ...ipv6Options);
    }
    inNamespace(namespace, 'route', 'add', 'default', 'dev', 'eth0');
    inNamespace(namespace, '-6', 'route', 'add', 'default', 'dev', 'eth0');
  }
  const start = (options: PodOptions) => startPod(t, directory, namespaceOf(options), authority, options);
  const [a, b] = [await start(left), await start(right)];
  return {
    a,
    b,
    setPolicies: (text) => writeFile(join(folder, 'policies.yaml'), text),
  };
}

async function startPod(
  t: Test,
  directory: string,
  namespace: string,
  authority: TestAuthority,
  { name, initOptions, inbound, more }: PodOptions,
): Promise<Pod> {
  const { cert, key } = authority.leaf(`spiffe://cluster.local/ns/test/sa/${name}`);
  await writeFile(join(directory, `${name}.pem`), cert);
  await writeFile(join(directory, `${name}.key`), key);
  await chmod(join(directory, `${name}.key`), 0o644); // of a test, and read by another user than the one who made it
  const configuration = `apiVersion: lateral.dev/v1alpha1
kind: SidecarConfig
workload: {name: ${name}-1, namespace: test, serviceAccount: ${name}, labels: {app: ${name}}}
standalone: {policies: ${directory}/policies, certificate: ${directory}/${name}.pem, privateKey: ${directory}/${name}.key, trustBundle: ${directory}/ca.pem}
interception: redirect
inbound: ${inbound}
outbound: {port: 15001}
${more}
`;
  const asUser = (uid: number) => ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  const launch = (words: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const child = spawn('ip', ['netns', 'exec', namespace, ...words], {
      env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: '1', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    return child;
  };
  const run = (program: string, ...args: string[]) =>
    execFileSync('ip', ['netns', 'exec', namespace, program, ...args], { encoding: 'utf8', stdio: 'pipe' });
  // as in a pod: root with one capability
  run('setpriv', '--bounding-set=-all,+net_admin', process.execPath, lateral, 'init', ...initOptions);

  const certificate = join(directory, `${name}.pem`);
  const app = launch([
    ...asUser(APP_UID),
    process.execPath,
    here('pod-app.ts'),
    certificate,
    join(directory, `${name}.key`),
  ]);
  const appSaid = gather(app);
  const sidecar = launch([...asUser(SIDECAR_UID), process.execPath, lateral, 'sidecar', '--config', 'env:SIDECAR'], {
    SIDECAR: configuration,
  });
  const said = gather(sidecar);
  await until(() => (said.stdout.length > 0 && appSaid.stdout.length > 0) || sidecar.exitCode !== null);
  if (said.stdout.length === 0 || appSaid.stdout.length === 0) {
    throw new Error(`pod ${name}: ${[...said.stderr, ...appSaid.stderr].join('\n')}`);
  }
  const lines: LogLine[] = said.stdout.map((line) => JSON.parse(line));
  said.onLine = (line) => lines.push(JSON.parse(line));
  const client = startClient(launch([...asUser(APP_UID), process.execPath, here('pod-client.ts')]));
  const proxyClient = startClient(launch([...asUser(SIDECAR_UID), process.execPath, here('pod-client.ts')]));
  return {
    name,
    sidecar,
    lines,
    events: said.stderr,
    ask: client,
    askAsProxy: proxyClient,
    run,
    async logged(wanted) {
      const found = () =>
        lines.find((line) => Object.entries(wanted).every(([field, value]) => Object.is(line[field], value)));
      await until(() => found() !== undefined);
      return found();
    },
  };
}

interface Gathered {
  readonly stdout: string[];
  readonly stderr: string[];
  onLine: (line: string) => void;
}

function gather(child: ChildProcess): Gathered {
  const gathered: Gathered = { stdout: [], stderr: [], onLine: () => {} };
  if (child.stdout === null || child.stderr === null) throw new Error('not piped');
  createInterface({ input: child.stdout }).on('line', (line) => {
    gathered.stdout.push(line);
    gathered.onLine(line);
  });
  createInterface({ input: child.stderr }).on('line', (line) => gathered.stderr.push(line));
  return gathered;
}

/** One question at a time. */
function startClient(child: ChildProcess): (question: ClientQuestion) => Promise<ClientAnswer> {
  const said = gather(child);
  let turn: Promise<unknown> = Promise.resolve();
  return (question) => {
    const answer = turn.then(async () => {
      const count = said.stdout.length;
      child.stdin?.write(`${JSON.stringify(question)}\n`);
      await until(() => said.stdout.length > count || child.exitCode !== null);
      const line = said.stdout[count];
      if (line === undefined) throw new Error(`no answer to ${JSON.stringify(question)}: ${said.stderr.join('\n')}`);
      const parsed: ClientAnswer = JSON.parse(line);
      return parsed;
    });
    turn = answer.catch(() => {});
    return answer;
  };
}
