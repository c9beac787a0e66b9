import type { Exchange } from '../exchange/exchange.ts';
import type { Direction, Passage } from '../exchange/passage.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';

/** Upper bounds of the duration histogram, seconds. */
const DURATION_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Different label sets of one counter; further ones count as `other`, so that no caller can fill the memory. */
const MAX_SERIES = 1_000;

const DIRECTIONS = ['inbound', 'outbound'] as const satisfies readonly Direction[];

type Series = readonly (readonly [labels: string, value: number])[];

/** A value that is read when somebody asks. */
export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  /** What several threads have of one series becomes; absent: their sum. */
  readonly joins?: 'min';
  /** Labels (already in `{…}` form, or empty) and values. */
  read(): Series;
}

/** What was counted up to now, as plain data that can be sent between threads. */
export interface MetricsSnapshot {
  readonly requests: Series;
  readonly refusals: Series;
  readonly audited: Series;
  readonly tcpConnections: Series;
  readonly tcpBytes: { readonly [D in Direction]: { readonly received: number; readonly sent: number } };
  readonly durations: { readonly inbound: Histogram; readonly outbound: Histogram };
  readonly gauges: readonly (Omit<Gauge, 'read'> & { readonly values: Series })[];
}

/** Gauges by name, and the sums of equal labels. */
type GaugeSums = Map<string, Omit<Gauge, 'read'> & { readonly values: Map<string, number> }>;

type Labels = { readonly [D in Direction]: { readonly [D in Exchange['decision']]: { [status: number]: string } } };

interface Histogram {
  readonly counts: number[];
  sum: number;
  count: number;
}

/** Counts requests, refusals and durations, and prints them in Prometheus' text format 0.0.4. */
export class Metrics implements Recorder {
  readonly #requests = new Map<string, number>();
  readonly #refusals = new Map<string, number>();
  readonly #audited = new Map<string, number>();
  readonly #tcpConnections = new Map<string, number>();
  readonly #tcpBytes = { inbound: { received: 0, sent: 0 }, outbound: { received: 0, sent: 0 } };
  readonly #durations = { inbound: emptyHistogram(), outbound: emptyHistogram() };
  readonly #labels: Labels = {
    inbound: { allow: {}, deny: {}, audit: {} },
    outbound: { allow: {}, deny: {}, audit: {} },
  };
  readonly #gauges: Gauge[] = [];
  /** Those of other threads. */
  readonly #absorbed: GaugeSums = new Map();

  add(gauge: Gauge): void {
    this.#gauges.push(gauge);
  }

  snapshot(): MetricsSnapshot {
    return {
      requests: [...this.#requests],
      refusals: [...this.#refusals],
      audited: [...this.#audited],
      tcpConnections: [...this.#tcpConnections],
      tcpBytes: this.#tcpBytes,
      durations: this.#durations,
      gauges: [...this.#readGauges().values()].map(({ values, ...gauge }) => ({ ...gauge, values: [...values] })),
    };
  }

  /** Adds what another thread has counted. */
  absorb(counted: MetricsSnapshot): void {
    for (const [labels, value] of counted.requests) increment(this.#requests, labels, value);
    for (const [labels, value] of counted.refusals) increment(this.#refusals, labels, value);
    for (const [labels, value] of counted.audited) increment(this.#audited, labels, value);
    for (const [labels, value] of counted.tcpConnections) increment(this.#tcpConnections, labels, value);
    for (const direction of DIRECTIONS) {
      this.#tcpBytes[direction].received += counted.tcpBytes[direction].received;
      this.#tcpBytes[direction].sent += counted.tcpBytes[direction].sent;
    }
    addHistogram(this.#durations.inbound, counted.durations.inbound);
    addHistogram(this.#durations.outbound, counted.durations.outbound);
    for (const { values, ...gauge } of counted.gauges) addGauge(this.#absorbed, gauge, values);
  }

  record(exchange: Exchange, endedAt: number): void {
    const { direction, decision, code, status } = exchange;
    increment(this.#requests, this.#labelsOf(direction, decision, status));
    if (code !== 'allowed') increment(this.#refusals, `direction="${direction}",decision="${decision}",code="${code}"`);
    this.#countAudited(exchange);
    const seconds = (endedAt - exchange.startedAt) / 1_000;
    const histogram = this.#durations[direction];
    const bucket = DURATION_BUCKETS_S.findIndex((bound) => seconds <= bound);
    if (bucket !== -1) histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
    histogram.sum += seconds;
    histogram.count++;
  }

  /** The same few come at every request; there are no more than there are statuses. */
  #labelsOf(direction: Direction, decision: Exchange['decision'], status: number): string {
    const known = this.#labels[direction][decision];
    const labels = known[status] ?? `direction="${direction}",decision="${decision}",status="${status}"`;
    known[status] = labels;
    return labels;
  }

  recordTcp(passage: TcpPassage): void {
    const { direction, decision, code, bytesIn, bytesOut } = passage;
    this.#countAudited(passage);
    increment(this.#tcpConnections, `direction="${direction}",decision="${decision}"`);
    if (code !== 'allowed') increment(this.#refusals, `direction="${direction}",decision="${decision}",code="${code}"`);
    this.#tcpBytes[direction].received += bytesIn;
    this.#tcpBytes[direction].sent += bytesOut;
  }

  #countAudited({ direction, wouldRefuse }: Passage): void {
    if (wouldRefuse === undefined) return;
    const { code, by } = wouldRefuse;
    const labels = `direction="${direction}",code="${code}",policy="${by.policy ?? ''}",rule="${by.rule ?? ''}"`;
    increment(this.#audited, labels);
  }

  /** A connection that was closed before a request. */
  recordRefusedConnection(direction: Direction, code: string): void {
    increment(this.#refusals, `direction="${direction}",decision="deny",code="${code}"`);
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
      'lateral_audited_refusals_total',
      'Requests and connections that policy would have refused, were it enforced, by code and by the policy and rule that decided.',
      'counter',
    );
    for (const [labels, value] of this.#audited) text += `lateral_audited_refusals_total{${labels}} ${value}\n`;
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
    for (const direction of DIRECTIONS) {
      for (const [kind, value] of Object.entries(this.#tcpBytes[direction]))
        text += `lateral_tcp_bytes_total{direction="${direction}",kind="${kind}"} ${value}\n`;
    }
    for (const [name, { help, type, values }] of this.#readGauges()) {
      text += header(name, help, type);
      for (const [labels, value] of values) text += `${name}${labels} ${value}\n`;
    }
    return text;
  }

  #readGauges(): GaugeSums {
    const sums: GaugeSums = new Map();
    for (const { values, ...gauge } of this.#absorbed.values()) addGauge(sums, gauge, values);
    for (const { read, ...gauge } of this.#gauges) addGauge(sums, gauge, read());
    return sums;
  }
}

function emptyHistogram(): Histogram {
  return { counts: DURATION_BUCKETS_S.map(() => 0), sum: 0, count: 0 };
}

function increment(counter: Map<string, number>, labels: string, by = 1): void {
  const known = counter.get(labels);
  if (known === undefined && counter.size >= MAX_SERIES) {
    counter.set('code="other"', (counter.get('code="other"') ?? 0) + by);
    return;
  }
  counter.set(labels, (known ?? 0) + by);
}

function addHistogram(total: Histogram, counted: Histogram): void {
  for (const [index, count] of counted.counts.entries()) total.counts[index] = (total.counts[index] ?? 0) + count;
  total.sum += counted.sum;
  total.count += counted.count;
}

function addGauge(
  sums: GaugeSums,
  { name, help, type, joins }: Omit<Gauge, 'read'>,
  values: Iterable<readonly [string, number]>,
): void {
  const common = { name, help, type, ...(joins === undefined ? {} : { joins }) };
  const sum = sums.get(name) ?? { ...common, values: new Map<string, number>() };
  sums.set(name, sum);
  for (const [labels, value] of values) {
    const known = sum.values.get(labels);
    const joined = joins === 'min' ? Math.min(known ?? value, value) : (known ?? 0) + value;
    sum.values.set(labels, joined);
  }
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
