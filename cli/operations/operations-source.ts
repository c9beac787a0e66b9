import type { RuleFacts } from '#control-plane/observation/rule-uses.ts';
import type { DecisionFacts, ProxyList } from './facts.ts';

/** Somebody who can be asked about the mesh: a control plane, or one sidecar. Calls reject with a sentence. */
export interface OperationsSource {
  /** For messages: `control plane 127.0.0.1:15012`, `pod lateral-system/lateral-control-plane-0`. */
  readonly name: string;
  proxies(): Promise<ProxyList>;
  /** Undefined: it is not kept here. */
  decision(id: string): Promise<DecisionFacts | undefined>;
  /** The last ones that are kept, latest last; `code` empty: of any. */
  decisions(code: string, limit: number): Promise<readonly DecisionFacts[]>;
  /** How often each rule matched. */
  rules(): Promise<RuleFacts>;
  close(): void;
}
