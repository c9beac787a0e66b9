import type { Exchange } from '../exchange/exchange.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';

/** Upper bounds of the duration histogram, seconds. */
const DURATION_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Different label sets of one counter; further ones count as `other`, so that no caller can fill the memory. */
const MAX_SERIES = 1_000;

/** A value that is read when somebody asks. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  /** Labels (already in `{…}` form, or empty) and values. */
  read(): readonly (readonly [labels: string, value: number])[];
}

interface Histogram {
  readonly counts: number[];
  sum: number;
  count: number;
}

/** Counts requests, refusals and durations, and prints them in Prometheus' text format 0.0.4. */
export class Metrics implements Recorder {
  readonly #requests = new Map<string, number>();
  readonly #refusals = new Map<string, number>();
  readonly #tcpConnections = new Map<string, number>();
  readonly #tcpBytes = { received: 0, sent: 0 };
  readonly #durations = { inbound: emptyHistogram(), outbound: emptyHistogram() };
  readonly #gauges: Gauge[] = [];

  add(gauge: Gauge): void {
    this.#gauges.push(gauge);
  }

  record(exchange: Exchange, endedAt: number): void {
    const { direction, decision, code, status } = exchange;
    increment(this.#requests, `direction="${direction}",decision="${decision}",status="${status}"`);
    if (code !== 'allowed') increment(this.#refusals, `direction="${direction}",decision="${decision}",code="${code}"`);
    const seconds = (endedAt - exchange.startedAt) / 1_000;
    const histogram = this.#durations[direction];
    const bucket = DURATION_BUCKETS_S.findIndex((bound) => seconds <= bound);
    if (bucket !== -1) histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
    histogram.sum += seconds;
    histogram.count++;
  }

  recordTcp({ direction, decision, code, bytesIn, bytesOut }: TcpPassage): void {
    increment(this.#tcpConnections, `direction="${direction}",decision="${decision}"`);
    if (code !== 'allowed') increment(this.#refusals, `direction="${direction}",decision="${decision}",code="${code}"`);
    this.#tcpBytes.received += bytesIn;
    this.#tcpBytes.sent += bytesOut;
  }

  /** A connection that was closed before a request. */
  recordRefusedConnection(code: string): void {
    increment(this.#refusals, `direction="inbound",decision="deny",code="${code}"`);
  }

  print(): string {
    let text = header(
      'lateral_requests_total',
      'Requests that ended, by direction, decision and HTTP status.',
      'counter',
    );
    for (const [labels, value] of this.#requests) text += `lateral_requests_total{${labels}} ${value}\n`;
    text += header(
      'lateral_refusals_total',
      'Requests and connections refused (deny), or that would have been (audit), by code.',
      'counter',
    );
    for (const [labels, value] of this.#refusals) text += `lateral_refusals_total{${labels}} ${value}\n`;
    text += header(
      'lateral_request_duration_seconds',
      'From the end of the request head to the end of the response.',
      'histogram',
    );
    text += printHistogram('inbound', this.#durations.inbound) + printHistogram('outbound', this.#durations.outbound);
    text += header(
      'lateral_tcp_connections_total',
      'TCP connections that ended, by direction and decision.',
      'counter',
    );
    for (const [labels, value] of this.#tcpConnections) text += `lateral_tcp_connections_total{${labels}} ${value}\n`;
    text += header('lateral_tcp_bytes_total', 'Bytes of ended TCP connections, from and to the caller.', 'counter');
    for (const [kind, value] of Object.entries(this.#tcpBytes))
      text += `lateral_tcp_bytes_total{direction="inbound",kind="${kind}"} ${value}\n`;
    for (const gauge of this.#gauges) {
      text += header(gauge.name, gauge.help, gauge.type);
      for (const [labels, value] of gauge.read()) text += `${gauge.name}${labels} ${value}\n`;
    }
    return text;
  }
}

function emptyHistogram(): Histogram {
  return { counts: DURATION_BUCKETS_S.map(() => 0), sum: 0, count: 0 };
}

function increment(counter: Map<string, number>, labels: string): void {
  const known = counter.get(labels);
  if (known === undefined && counter.size >= MAX_SERIES) {
    counter.set('code="other"', (counter.get('code="other"') ?? 0) + 1);
    return;
  }
  counter.set(labels, (known ?? 0) + 1);
}

function header(name: string, help: string, type: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function printHistogram(direction: string, histogram: Histogram): string {
  const name = 'lateral_request_duration_seconds';
  let text = '';
  let cumulative = 0;
  for (const [index, bound] of DURATION_BUCKETS_S.entries()) {
    cumulative += histogram.counts[index] ?? 0;
    text += `${name}_bucket{direction="${direction}",le="${bound}"} ${cumulative}\n`;
  }
  text += `${name}_bucket{direction="${direction}",le="+Inf"} ${histogram.count}\n`;
  return `${text}${name}_sum{direction="${direction}"} ${histogram.sum}\n${name}_count{direction="${direction}"} ${histogram.count}\n`;
}
