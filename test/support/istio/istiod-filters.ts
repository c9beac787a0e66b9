import { spawn } from 'node:child_process';
import { isRecord } from '#policy/schema/schema.ts';

/** What istiod is asked; policies are of `security.istio.io/v1`. */
export interface IstiodQuestion {
  /** The mesh's own first, then its aliases. */
  readonly trustDomains: readonly string[];
  readonly rootNamespace: string;
  readonly workload: { readonly namespace: string; readonly labels: { readonly [name: string]: string } };
  readonly policies: readonly IstioPolicy[];
}

export interface IstioPolicy {
  readonly apiVersion: string;
  readonly namespace: string;
  readonly name: string;
  readonly annotations: { readonly [name: string]: string };
  readonly spec: object;
}

/** Envoy's filters, or what istiod's validation has against a policy. */
export type IstiodAnswer =
  | { readonly kind: 'invalid'; readonly complaint: string }
  | { readonly kind: 'filters'; readonly http: readonly object[]; readonly tcp: readonly object[] };

/** Has test/peers/istiod (`program`) translate; the answers are in the order of the questions. */
export function istiodFilters(program: string, questions: readonly IstiodQuestion[]): Promise<IstiodAnswer[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, { stdio: ['pipe', 'pipe', 'pipe'] });
    let out = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
    child.stderr.on('data', (text) => {
      errors += text;
    });
    child.on('error', reject);
    child.stdin.on('error', () => {}); // its end says more
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`${program} ended with ${code}: ${errors}`));
      const answers = out.trimEnd().split('\n').map(answerOf);
      if (answers.length === questions.length) return resolve(answers);
      return reject(new Error(`${answers.length} answers to ${questions.length} questions: ${errors}`));
    });
    child.stdin.end(questions.map((question) => `${JSON.stringify(question)}\n`).join(''));
  });
}

function answerOf(line: string): IstiodAnswer {
  const told: unknown = JSON.parse(line);
  if (!isRecord(told)) throw new Error(`not an answer: ${line}`);
  if (typeof told['invalid'] === 'string') return { kind: 'invalid', complaint: told['invalid'] };
  return { kind: 'filters', http: objects(told['http']), tcp: objects(told['tcp']) };
}

function objects(value: unknown): readonly object[] {
  return Array.isArray(value) ? value.filter((one): one is object => typeof one === 'object') : [];
}
