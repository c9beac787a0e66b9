import type { RuleMatches, RuleTallies } from '#policy/authorization/rule-tallies.ts';
import type { Count, DecisionRecord } from '#proto/gen/lateral/v1/observation.ts';
import type { Exchange } from '../exchange/exchange.ts';
import type { Passage } from '../exchange/passage.ts';
import type { Recorder } from '../exchange/record.ts';
import type { TcpPassage } from '../exchange/tcp-passage.ts';

/** Decisions that wait to be sent; more are dropped, and their number is reported. */
export const MAX_BUFFERED_DECISIONS = 1_000;
/** Different counts that wait to be sent; requests beyond are counted under the peer `other`. */
export const MAX_BUFFERED_COUNTS = 1_000;
/** Rules of which matches are told in one report; further ones come with the next. */
export const MAX_RULES_A_REPORT = 1_000;
/** Matches of rules are looked for so often even if nothing has ended: a connection may last for days. */
export const RULES_INTERVAL_MS = 10_000;
/** Rules of which matches of workers wait to be told; of further ones they are lost. */
const MAX_BUFFERED_RULES = 100_000;
/** Longest path and reason in a report. */
const MAX_TEXT_LENGTH = 2_048;

/** What was decided since the last report; plain data. */
export interface TalliedDecisions {
  readonly decisions: DecisionRecord[];
  readonly counts: Count[];
  readonly droppedDecisions: number;
  readonly rules: RuleMatches[];
}

/** Gathers what was decided, bounded, until somebody takes it. */
export class DecisionTally implements Recorder {
  readonly #counts = new Map<string, Count>();
  #decisions: DecisionRecord[] = [];
  #droppedDecisions = 0;
  /** Of this thread. */
  #ruleTallies: RuleTallies | undefined;
  /** Of workers, by policy and key. */
  readonly #rules = new Map<string, RuleMatches>();

  get isEmpty(): boolean {
    return (
      this.#decisions.length === 0 &&
      this.#counts.size === 0 &&
      this.#droppedDecisions === 0 &&
      this.#rules.size === 0 &&
      this.#ruleTallies?.hasUntold !== true
    );
  }

  /** Tells the matches of rules that this thread counts, too. */
  countRules(tallies: RuleTallies): void {
    this.#ruleTallies = tallies;
  }

  /** Every exchange is counted; those that were refused, or would have been, are reported one by one. */
  record(exchange: Exchange): void {
    this.#countPassage(exchange);
    if (exchange.decision !== 'allow') this.#report(decisionRecordOf(exchange));
  }

  /** The same for TCP connections, which have nothing of HTTP. */
  recordTcp(passage: TcpPassage): void {
    this.#countPassage(passage);
    if (passage.decision !== 'allow') this.#report(decisionRecordOfTcp(passage));
  }

  /** The same for what never became a request. */
  recordConnection(decision: DecisionRecord): void {
    const { direction, source: peer, decision: verdict, code } = decision;
    this.#count({ direction, peer, decision: verdict, code, requests: 1 });
    this.#report(decision);
  }

  /** Adds what another tally has gathered. */
  absorb({ decisions, counts, droppedDecisions, rules }: TalliedDecisions): void {
    for (const rule of rules) this.#countRule(rule);
    for (const decision of decisions) this.#report(decision);
    for (const count of counts) this.#count(count);
    this.#droppedDecisions += droppedDecisions;
  }

  /** All that was gathered; begins anew. */
  take(): TalliedDecisions {
    const taken = {
      decisions: this.#decisions,
      counts: [...this.#counts.values()],
      droppedDecisions: this.#droppedDecisions,
      rules: this.#takeRules(),
    };
    this.#decisions = [];
    this.#counts.clear();
    this.#droppedDecisions = 0;
    return taken;
  }

  #takeRules(): RuleMatches[] {
    const taken = this.#ruleTallies?.take(MAX_RULES_A_REPORT) ?? [];
    for (const [name, rule] of this.#rules) {
      if (taken.length >= MAX_RULES_A_REPORT) break;
      this.#rules.delete(name);
      taken.push(rule);
    }
    return taken;
  }

  #countRule(rule: RuleMatches): void {
    const name = `${rule.policy} ${rule.key}`;
    const known = this.#rules.get(name);
    if (known === undefined && this.#rules.size >= MAX_BUFFERED_RULES) return;
    this.#rules.set(name, known === undefined ? rule : { ...rule, matches: rule.matches + known.matches });
  }

  #countPassage(passage: Passage): void {
    const { direction, decision, code } = passage;
    const peer = (direction === 'inbound' ? passage.source?.uri : passage.destination) ?? '';
    this.#count({ direction, peer, decision, code, requests: 1 });
  }

  #report(decision: DecisionRecord): void {
    if (this.#decisions.length >= MAX_BUFFERED_DECISIONS) this.#droppedDecisions++;
    else this.#decisions.push(decision);
  }

  #count(count: Count): void {
    const key = `${count.direction} ${count.decision} ${count.code} ${count.peer}`;
    const known = this.#counts.get(key);
    if (known !== undefined) known.requests += count.requests;
    else if (this.#counts.size < MAX_BUFFERED_COUNTS || count.peer === 'other') this.#counts.set(key, { ...count });
    else this.#count({ ...count, peer: 'other' });
  }
}

/** What is reported of an exchange that was refused, or would have been. */
export function decisionRecordOf(exchange: Exchange): DecisionRecord {
  return {
    ...decisionOf(exchange),
    method: exchange.server.head.method,
    host: (exchange.host ?? '').slice(0, MAX_TEXT_LENGTH),
    path: (exchange.path ?? '').slice(0, MAX_TEXT_LENGTH),
    status: exchange.status,
    traceId: exchange.trace.traceId,
    sourceIp: exchange.server.caller.address,
  };
}

/** The same of a TCP connection, which has nothing of HTTP. */
export function decisionRecordOfTcp(passage: TcpPassage): DecisionRecord {
  const sourceIp = passage.connection.caller.address;
  return { ...decisionOf(passage), method: '', host: '', path: '', status: 0, traceId: '', sourceIp };
}

type DecisionOfPassage = Omit<DecisionRecord, 'method' | 'host' | 'path' | 'status' | 'traceId' | 'sourceIp'>;

function decisionOf(passage: Passage): DecisionOfPassage {
  return {
    decisionId: passage.decisionId,
    timeMs: passage.startedAtMs,
    direction: passage.direction,
    decision: passage.decision,
    code: passage.code,
    source: passage.source?.uri ?? '',
    destination: passage.destination ?? '',
    policy: passage.policyName ?? '',
    rule: passage.rule ?? -1,
    reason: passage.reason.slice(0, MAX_TEXT_LENGTH),
  };
}
