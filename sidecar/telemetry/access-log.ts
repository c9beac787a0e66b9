import { createHmac, randomBytes } from 'node:crypto';
import { headerValue } from '#policy/http/flat-headers.ts';
import { isSecretName } from '#policy/http/is-secret-name.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Passage } from '../exchange/passage.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';
import { isoTime } from './iso-time.ts';
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
  readonly #key = randomBytes(32);

  constructor(writer: LogWriter) {
    this.#writer = writer;
  }

  record(exchange: Exchange, endedAt: number): void {
    const { server, trace } = exchange;
    const query = exchange.query === '' ? '' : `?${redactQuery(exchange.query)}`;
    const source = exchange.source?.uri;
    this.#writer.write(
      `{"time":"${isoTime(exchange.startedAtMs)}","direction":"${exchange.direction}","decision":"${exchange.decision}",` +
        `"decisionId":"${exchange.decisionId}","code":"${exchange.code}","method":${quoted(server.head.method)},` +
        `"host":${quoted(exchange.host ?? headerValue(server.head.headers, 'host') ?? '')},` +
        `"path":${quoted((exchange.path ?? pathOf(server.head.target)) + query)},"status":${exchange.status},` +
        `"source":${source === undefined ? 'null' : quoted(source)},"destination":${quoted(exchange.destination ?? '')},` +
        `"port":${exchange.port},"sourceIp":${quoted(server.caller.address)},` +
        `"bytesIn":${exchange.bytesIn},"bytesOut":${exchange.bytesOut},"durationMs":${rounded(endedAt - exchange.startedAt)},` +
        `"traceId":"${trace.traceId}","stages":${stagesOf(exchange, endedAt)},"inputs":${this.#inputsOf(exchange)}` +
        `${decisionOf(exchange)}}\n`,
    );
  }

  /** No trace: nobody can carry one on. */
  recordTcp(passage: TcpPassage, endedAt: number): void {
    const source = passage.source?.uri;
    this.#writer.write(
      `{"time":"${isoTime(passage.startedAtMs)}","direction":"${passage.direction}","decision":"${passage.decision}",` +
        `"decisionId":"${passage.decisionId}","code":"${passage.code}","method":null,"host":null,"path":null,"status":0,` +
        `"source":${source === undefined ? 'null' : quoted(source)},"destination":${quoted(passage.destination ?? '')},` +
        `"port":${passage.port},"sourceIp":${quoted(passage.connection.caller.address)},` +
        `"bytesIn":${passage.bytesIn},"bytesOut":${passage.bytesOut},"durationMs":${rounded(endedAt - passage.startedAt)},` +
        `"traceId":null,"stages":${stagesOf(passage, endedAt)},"inputs":{}${decisionOf(passage)}}\n`,
    );
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

/** Milliseconds by stage, as a JSON object; a stage that ran twice (another endpoint) is counted together. */
export function stagesOf({ stageNames, stageStarts }: Passage, endedAt: number): string {
  let text = '{';
  for (let index = 0; index < stageNames.length; index++) {
    const name = stageNames[index];
    if (stageNames.indexOf(name ?? 'accept') !== index) continue;
    let milliseconds = 0;
    for (let again = index; again < stageNames.length; again++) {
      if (stageNames[again] === name)
        milliseconds += (stageStarts[again + 1] ?? endedAt) - (stageStarts[again] ?? endedAt);
    }
    text += `${index === 0 ? '' : ','}"${name}":${rounded(milliseconds)}`;
  }
  return `${text}}`;
}

function decisionOf(exchange: Passage): string {
  let text = '';
  if (exchange.policyName !== undefined) text += `,"policy":${quoted(exchange.policyName)}`;
  if (exchange.rule !== undefined) text += `,"rule":${exchange.rule}`;
  if (exchange.code !== 'allowed') text += `,"reason":${quoted(exchange.reason)}`;
  return text;
}

function pathOf(target: string): string {
  const mark = target.indexOf('?');
  return mark === -1 ? target : target.slice(0, mark);
}

function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_FIELD_LENGTH ? `${text.slice(0, MAX_FIELD_LENGTH)}…` : text);
}

function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1_000) / 1_000;
}
