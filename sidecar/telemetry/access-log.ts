import { createHmac } from 'node:crypto';
import { headerValue } from '#policy/http/flat-headers.ts';
import { isSecretName } from '#policy/http/is-secret-name.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Passage } from '../exchange/passage.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';
import { isoTime } from './iso-time.ts';
import type { LogLines } from './log-lines.ts';
import type { LogWriter } from './log-writer.ts';
import { redactQuery } from './redact.ts';

/** Longest path and reason in a line, so that a caller cannot fill the disk with one request. */
const MAX_FIELD_LENGTH = 4_096;
/** Hex digits of a hashed secret: enough to compare, useless to invert. */
const SECRET_HASH_LENGTH = 16;

/**
 * One JSON object a line for each request, TCP connection and refused connection. Never logged: authorization
 * headers, cookies, API keys, bodies; what a policy refers to of them is hashed with a key that lives
 * and dies with the process.
 */
export class AccessLog implements Recorder {
  readonly #writer: LogWriter;
  readonly #key: Uint8Array;

  constructor(writer: LogWriter, key: Uint8Array) {
    this.#writer = writer;
    this.#key = key;
  }

  record(exchange: Exchange, endedAt: number): void {
    const line = this.#writer.begin();
    if (line === undefined) return;
    const { server, trace } = exchange;
    const path = exchange.path ?? pathOf(server.head.target);
    writeWhatAndWhy(line, exchange);
    line.latin1(',"method":');
    line.quoted(server.head.method);
    line.latin1(',"host":');
    line.quoted(shortened(exchange.host ?? headerValue(server.head.headers, 'host') ?? ''));
    line.latin1(',"path":');
    line.quoted(shortened(exchange.query === '' ? path : `${path}?${redactQuery(exchange.query)}`));
    line.latin1(',"status":');
    line.integer(exchange.status);
    writeWho(line, exchange, server.caller.address);
    writeFigures(line, exchange, endedAt);
    line.latin1(',"traceId":"');
    line.latin1(trace.traceId);
    line.latin1('","stages":');
    writeStages(line, exchange, endedAt);
    line.latin1(',"inputs":');
    line.text(this.#inputsOf(exchange));
    writeDecision(line, exchange);
    line.latin1('}\n');
    this.#writer.commit();
  }

  /** No trace: nobody can carry one on. */
  recordTcp(passage: TcpPassage, endedAt: number): void {
    const line = this.#writer.begin();
    if (line === undefined) return;
    writeWhatAndWhy(line, passage);
    line.latin1(',"method":null,"host":null,"path":null,"status":0');
    writeWho(line, passage, passage.connection.caller.address);
    writeFigures(line, passage, endedAt);
    line.latin1(',"traceId":null,"stages":');
    writeStages(line, passage, endedAt);
    line.latin1(',"inputs":{}');
    writeDecision(line, passage);
    line.latin1('}\n');
    this.#writer.commit();
  }

  #inputsOf(exchange: Exchange): string {
    const names = exchange.policy.referredHeaders;
    if (names.length === 0) return '{}';
    const values: { [name: string]: string } = {};
    for (const name of names) {
      const value = headerValue(exchange.headers, name);
      if (value !== undefined) values[name] = isSecretName(name) ? this.#hash(value) : value.slice(0, MAX_FIELD_LENGTH);
    }
    return JSON.stringify({ headers: values });
  }

  #hash(value: string): string {
    return `hmac:${createHmac('sha256', this.#key).update(value).digest('hex').slice(0, SECRET_HASH_LENGTH)}`;
  }
}

function writeWhatAndWhy(line: LogLines, passage: Passage): void {
  line.latin1('{"time":"');
  line.latin1(isoTime(passage.startedAtMs));
  line.latin1('","direction":"');
  line.latin1(passage.direction);
  line.latin1('","decision":"');
  line.latin1(passage.decision);
  line.latin1('","decisionId":"');
  line.latin1(passage.decisionId);
  line.latin1('","code":"');
  line.latin1(passage.code);
  line.latin1('"');
}

function writeWho(line: LogLines, passage: Passage, sourceIp: string): void {
  const source = passage.source?.uri;
  line.latin1(',"source":');
  if (source === undefined) line.latin1('null');
  else line.quoted(source);
  line.latin1(',"destination":');
  line.quoted(shortened(passage.destination ?? ''));
  line.latin1(',"port":');
  line.integer(passage.port);
  line.latin1(',"sourceIp":');
  line.quoted(sourceIp);
}

function writeFigures(line: LogLines, passage: Passage, endedAt: number): void {
  line.latin1(',"bytesIn":');
  line.integer(passage.bytesIn);
  line.latin1(',"bytesOut":');
  line.integer(passage.bytesOut);
  line.latin1(',"durationMs":');
  line.milliseconds(endedAt - passage.startedAt);
}

/** Milliseconds by stage; a stage that ran twice (another endpoint) is counted together. */
function writeStages(line: LogLines, { stageNames, stageStarts }: Passage, endedAt: number): void {
  line.latin1('{');
  for (let index = 0; index < stageNames.length; index++) {
    const name = stageNames[index] ?? 'accept';
    if (stageNames.indexOf(name) !== index) continue;
    let milliseconds = 0;
    for (let again = index; again < stageNames.length; again++) {
      if (stageNames[again] === name)
        milliseconds += (stageStarts[again + 1] ?? endedAt) - (stageStarts[again] ?? endedAt);
    }
    line.latin1(index === 0 ? '"' : ',"');
    line.latin1(name);
    line.latin1('":');
    line.milliseconds(milliseconds);
  }
  line.latin1('}');
}

function writeDecision(line: LogLines, passage: Passage): void {
  if (passage.policyName !== undefined) {
    line.latin1(',"policy":');
    line.quoted(shortened(passage.policyName));
  }
  if (passage.rule !== undefined) {
    line.latin1(',"rule":');
    line.integer(passage.rule);
  }
  if (passage.code === 'allowed') return;
  line.latin1(',"reason":');
  line.quoted(shortened(passage.reason));
}

function pathOf(target: string): string {
  const mark = target.indexOf('?');
  return mark === -1 ? target : target.slice(0, mark);
}

function shortened(text: string): string {
  return text.length > MAX_FIELD_LENGTH ? `${text.slice(0, MAX_FIELD_LENGTH)}…` : text;
}
