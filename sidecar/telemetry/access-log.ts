import { headerValue } from '#policy/http/flat-headers.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Passage, StageName } from '../exchange/passage.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';
import { isoTime } from './iso-time.ts';
import type { LogInputs } from './log-inputs.ts';
import type { LogLines } from './log-lines.ts';
import type { LogWriter } from './log-writer.ts';
import { redactQuery } from './redact.ts';

/** Longest path and reason in a line, so that a caller cannot fill the disk with one request. */
const MAX_FIELD_LENGTH = 4_096;
/** Faults of one request that a line tells one by one. */
const MAX_LOGGED_DETAILS = 8;

/** What stands between the values of a line. */
const TEXT = {
  method: Buffer.from(',"method":'),
  host: Buffer.from(',"host":'),
  path: Buffer.from(',"path":'),
  status: Buffer.from(',"status":'),
  traceId: Buffer.from(',"traceId":"'),
  stages: Buffer.from('","stages":'),
  inputs: Buffer.from(',"inputs":'),
  end: Buffer.from('}\n'),
  noRequest: Buffer.from(',"method":null,"host":null,"path":null,"status":0'),
  noTrace: Buffer.from(',"traceId":null,"stages":'),
  time: Buffer.from('{"time":"'),
  direction: Buffer.from('","direction":"'),
  decision: Buffer.from('","decision":"'),
  decisionId: Buffer.from('","decisionId":"'),
  code: Buffer.from('","code":"'),
  quote: Buffer.from('"'),
  source: Buffer.from(',"source":'),
  null: Buffer.from('null'),
  destination: Buffer.from(',"destination":'),
  port: Buffer.from(',"port":'),
  sourceIp: Buffer.from(',"sourceIp":'),
  bytesIn: Buffer.from(',"bytesIn":'),
  bytesOut: Buffer.from(',"bytesOut":'),
  durationMs: Buffer.from(',"durationMs":'),
  open: Buffer.from('{'),
  comma: Buffer.from(','),
  close: Buffer.from('}'),
  policy: Buffer.from(',"policy":'),
  rule: Buffer.from(',"rule":'),
  reason: Buffer.from(',"reason":'),
  audited: Buffer.from(',"audited":'),
  providers: Buffer.from(',"providers":'),
  deprecated: Buffer.from(',"deprecated":true'),
  details: Buffer.from(',"details":'),
};

/**
 * One JSON object a line for each request, TCP connection and refused connection. Never logged: authorization
 * headers, cookies, API keys, bodies; what a policy refers to of them is hashed with a key that lives
 * and dies with the process.
 */
export class AccessLog implements Recorder {
  readonly #writer: LogWriter;
  readonly #inputs: LogInputs;

  constructor(writer: LogWriter, inputs: LogInputs) {
    this.#writer = writer;
    this.#inputs = inputs;
  }

  record(exchange: Exchange, endedAt: number): void {
    const line = this.#writer.begin();
    if (line === undefined) return;
    const { server, trace } = exchange;
    const path = exchange.path ?? pathOfUnread(server.head.target);
    writeWhatAndWhy(line, exchange);
    line.constant(TEXT.method);
    line.quoted(server.head.method);
    line.constant(TEXT.host);
    line.quoted(shortened(exchange.host ?? withoutUserInfo(headerValue(server.head.headers, 'host') ?? '')));
    line.constant(TEXT.path);
    line.quoted(shortened(exchange.query === '' ? path : `${path}?${queryOf(exchange)}`));
    line.constant(TEXT.status);
    line.integer(exchange.status);
    writeWho(line, exchange, server.caller.address);
    writeFigures(line, exchange, endedAt);
    line.constant(TEXT.traceId);
    line.latin1(trace.traceId);
    line.constant(TEXT.stages);
    writeStages(line, exchange, endedAt);
    line.constant(TEXT.inputs);
    line.text(this.#inputsOf(exchange));
    if (exchange.isDeprecated) line.constant(TEXT.deprecated);
    writeDecision(line, exchange);
    line.constant(TEXT.end);
    this.#writer.commit();
  }

  /** No trace: nobody can carry one on. */
  recordTcp(passage: TcpPassage, endedAt: number): void {
    const line = this.#writer.begin();
    if (line === undefined) return;
    writeWhatAndWhy(line, passage);
    line.constant(TEXT.noRequest);
    writeWho(line, passage, passage.connection.caller.address);
    writeFigures(line, passage, endedAt);
    line.constant(TEXT.noTrace);
    writeStages(line, passage, endedAt);
    line.constant(TEXT.inputs);
    const { connection, destinationIp } = passage;
    line.text(
      passage.direction === 'inbound' ? this.#inputs.ofConnection({ caller: connection.caller, destinationIp }) : '{}',
    );
    writeDecision(line, passage);
    line.constant(TEXT.end);
    this.#writer.commit();
  }

  /** Of the caller's side nothing is: its policies judge nobody. */
  #inputsOf({ direction, headers, claims, policy, server, destinationIp }: Exchange): string {
    if (direction === 'outbound') return '{}';
    return this.#inputs.of({ headers, claims, policy, caller: server.caller, destinationIp });
  }
}

function writeWhatAndWhy(line: LogLines, passage: Passage): void {
  line.constant(TEXT.time);
  line.latin1(isoTime(passage.startedAtMs));
  line.constant(TEXT.direction);
  line.latin1(passage.direction);
  line.constant(TEXT.decision);
  line.latin1(passage.decision);
  line.constant(TEXT.decisionId);
  line.latin1(passage.decisionId);
  line.constant(TEXT.code);
  line.latin1(passage.code);
  line.constant(TEXT.quote);
}

function writeWho(line: LogLines, passage: Passage, sourceIp: string): void {
  const source = passage.source?.uri;
  line.constant(TEXT.source);
  if (source === undefined) line.constant(TEXT.null);
  else line.quoted(source);
  line.constant(TEXT.destination);
  line.quoted(shortened(passage.destination ?? ''));
  line.constant(TEXT.port);
  line.integer(passage.port);
  line.constant(TEXT.sourceIp);
  line.quoted(sourceIp);
}

function writeFigures(line: LogLines, passage: Passage, endedAt: number): void {
  line.constant(TEXT.bytesIn);
  line.integer(passage.bytesIn);
  line.constant(TEXT.bytesOut);
  line.integer(passage.bytesOut);
  line.constant(TEXT.durationMs);
  line.milliseconds(endedAt - passage.startedAt);
}

/** Milliseconds by stage; a stage that ran twice (another endpoint) is counted together. */
function writeStages(line: LogLines, { stageNames, stageStarts }: Passage, endedAt: number): void {
  line.constant(TEXT.open);
  for (let index = 0; index < stageNames.length; index++) {
    const name = stageNames[index] ?? 'accept';
    if (stageNames.indexOf(name) !== index) continue;
    let milliseconds = 0;
    for (let again = index; again < stageNames.length; again++) {
      if (stageNames[again] === name)
        milliseconds += (stageStarts[again + 1] ?? endedAt) - (stageStarts[again] ?? endedAt);
    }
    if (index > 0) line.constant(TEXT.comma);
    line.constant(stageKey(name));
    line.milliseconds(milliseconds);
  }
  line.constant(TEXT.close);
}

const stageKeys = new Map<StageName, Buffer>();

function stageKey(name: StageName): Buffer {
  const known = stageKeys.get(name);
  if (known !== undefined) return known;
  const made = Buffer.from(`"${name}":`);
  stageKeys.set(name, made);
  return made;
}

function writeDecision(line: LogLines, passage: Passage): void {
  if (passage.policyName !== undefined) {
    line.constant(TEXT.policy);
    line.quoted(shortened(passage.policyName));
  }
  if (passage.rule !== undefined) {
    line.constant(TEXT.rule);
    line.integer(passage.rule);
  }
  if (passage.audited !== undefined) {
    line.constant(TEXT.audited);
    line.quoted(shortened(passage.audited));
  }
  if (passage.providers !== undefined) {
    line.constant(TEXT.providers);
    line.quoted(shortened(passage.providers));
  }
  if (passage.code === 'allowed') return;
  line.constant(TEXT.reason);
  line.quoted(shortened(passage.reason));
  if (passage.details === undefined) return;
  line.constant(TEXT.details);
  line.text(JSON.stringify(passage.details.slice(0, MAX_LOGGED_DETAILS)));
}

function queryOf({ query, direction, policy }: Exchange): string {
  return redactQuery(query, direction === 'inbound' ? policy.authentication?.parameters : undefined);
}

/** Of a target that was not accepted: without query, fragment and user information, which may be secrets. */
function pathOfUnread(target: string): string {
  const mark = target.search(/[?#]/);
  return withoutUserInfo(mark === -1 ? target : target.slice(0, mark));
}

/** RFC 3986 §3.2.1: behind a scheme, or in a Host header. */
function withoutUserInfo(text: string): string {
  return text.replace(/^([a-z][-+.a-z0-9]*:\/\/)?[^/]*@/i, '$1');
}

function shortened(text: string): string {
  return text.length > MAX_FIELD_LENGTH ? `${text.slice(0, MAX_FIELD_LENGTH)}…` : text;
}
