import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { validateCommand } from '#cli/commands/validate.ts';
import { readAll, startInbound } from './inbound-sidecar.ts';
import { startApp } from './start-app.ts';

/** A request, and what the app answers. */
export interface Sent {
  readonly method?: string;
  readonly path: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string | Buffer;
  readonly response?: {
    readonly status: number;
    readonly headers?: { readonly [name: string]: string };
    readonly body?: string | Buffer;
  };
}

const JSON_ANSWER = { 'content-type': 'application/json' };

/** Sends requests through a sidecar with these policies, and has `lateral validate` judge them: both must say the same, word by word. */
export async function agreeOffline(
  t: Test,
  rules: string,
  cases: readonly Sent[],
  anyAnswer = ANY_ANSWER,
): Promise<void> {
  const { verdicts, policies } = await inPath(t, rules, cases, anyAnswer);
  const offlines = await offline(policies, cases, anyAnswer);
  for (const [index, sent] of cases.entries()) {
    const { verdict, code, details, reason } = verdicts[index] as Verdict;
    const other = offlines[index] as Verdict;
    const name = JSON.stringify({
      ...sent,
      body: Buffer.from(sent.body ?? '')
        .toString('latin1')
        .slice(0, 60),
    });
    const seen = details.map((one) => ({ ...one, shape: undefined }));
    t.match(
      { verdict: other.verdict, code: other.code, details: other.details },
      { verdict, code, details: seen },
      name,
    );
    t.equal(other.details.length, seen.length, `details of ${name}`);
    // what the parser of HTTP/1.1 refuses it refuses in its own words; of what passes nothing is said in the path
    if (verdict === 'pass' || code === 'malformed_request') continue;
    t.ok(reason?.startsWith(other.reason ?? 'none'), `${reason} is ${other.reason}`);
  }
}

/** On the wire of HTTP/1.1, characters in UTF-8. */
function wire({ method = 'GET', path, headers = [], body }: Sent): Buffer {
  const bytes = Buffer.from(body ?? '');
  const isChunked = headers.some(([name]) => name === 'transfer-encoding');
  const hasClose = headers.some(([name]) => name === 'connection');
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'host: a',
    ...(hasClose ? [] : ['connection: close']),
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(body === undefined || isChunked ? [] : [`content-length: ${bytes.length}`]),
  ];
  const chunk = bytes.length === 0 ? [] : [Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')];
  return Buffer.concat([
    Buffer.from(`${lines.join('\r\n')}\r\n\r\n`),
    ...(isChunked ? [...chunk, Buffer.from('0\r\n\r\n')] : [bytes]),
  ]);
}

function batchLine({ method = 'GET', path, headers = [], body, response }: Sent): string {
  const fields: { [name: string]: string[] } = { host: ['a'] };
  for (const [name, value] of headers) fields[name] = [...(fields[name] ?? []), value];
  const base64 = (bytes: string | Buffer | undefined) => bytes && Buffer.from(bytes).toString('base64');
  return JSON.stringify({
    to: { namespace: 'test', name: 'server-1', serviceAccount: 'server', labels: { app: 'server' } },
    ...{ method, path, headers: fields, bodyBase64: base64(body) },
    response: response && { status: response.status, headers: response.headers, bodyBase64: base64(response.body) },
  });
}

interface Verdict {
  readonly verdict: string;
  readonly code: string;
  readonly details: readonly object[];
  readonly reason: string | undefined;
}

const VERDICTS: { readonly [decision: string]: string } = { allow: 'pass', deny: 'refuse', audit: 'audit' };
type Answer = NonNullable<Sent['response']>;
/** What a case says of its answer where it does not matter. */
const ANY_ANSWER: Answer = { status: 200, headers: JSON_ANSWER, body: '{"id":1}' };

async function inPath(
  t: Test,
  rules: string,
  cases: readonly Sent[],
  anyAnswer: Answer,
): Promise<{ verdicts: Verdict[]; policies: string }> {
  let wanted: NonNullable<Sent['response']> = anyAnswer;
  const app = await startApp(t, (request, response) => {
    request.resume();
    const { status, headers = {}, body } = wanted;
    const isJoined = headers['connection'] !== undefined;
    const bytes = Object.entries(headers).map(([name, value]) => [name, Buffer.from(value).toString('latin1')]);
    response.writeHead(status, Object.fromEntries(isJoined ? bytes : [...bytes, ['connection', 'close']]));
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  const sidecar = await startInbound(t, app.port, 'http', rules);
  const verdicts: Verdict[] = [];
  for (const [index, sent] of cases.entries()) {
    wanted = sent.response ?? anyAnswer;
    const caller = await sidecar.connectTls('client');
    caller.write(wire(sent));
    await readAll(caller);
    caller.destroy();
    const line = (await sidecar.log(index + 1))[index];
    const { decision, code, details = [], reason } = line ?? {};
    verdicts.push({
      ...{ verdict: VERDICTS[String(decision)] ?? 'none', code: String(code) },
      ...{ details: details as object[], reason: reason as string | undefined },
    });
  }
  return { verdicts, policies: join(sidecar.directory, 'policies') };
}

async function offline(policies: string, cases: readonly Sent[], anyAnswer: Answer): Promise<Verdict[]> {
  const batch = join(policies, 'batch.jsonl');
  await writeFile(batch, cases.map((sent) => batchLine({ response: anyAnswer, ...sent })).join('\n'));
  let stdout = '';
  const io = { stdout: (text: string) => (stdout += text), stderr: () => {} };
  await validateCommand.run(['--policies', policies, '--batch', batch], io);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}
