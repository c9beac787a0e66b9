import type { TravellingOpenApi } from '../resource/kinds/api-schema.ts';
import type { CompiledDocument } from './api-model.ts';
import { compileDocument } from './compile-document.ts';
import { documentTextOf } from './travelling-document.ts';

/** One schema document to compile. */
export interface ValidatorJob {
  /** NAMESPACE/NAME of its APISchema, for messages. */
  readonly name: string;
  /** The document as it travels. */
  readonly document: TravellingOpenApi;
  /** Responses are judged too. Default false. */
  readonly responses?: boolean | undefined;
  /** Names of properties are asked for. Default false. */
  readonly names?: boolean | undefined;
}

/** What a job amounts to: plain data, which can be sent between threads and kept by the hash of the document. */
export type GeneratedValidator = CompiledDocument;

/** Compiles documents, one result a job in their order. Rejects when it could not: nothing changes then. */
export type GenerateValidators = (jobs: readonly ValidatorJob[]) => Promise<readonly GeneratedValidator[]>;

/** Compiles in this very thread: for the CLI, the control plane's checks and tests. */
export const generateValidators: GenerateValidators = async (jobs) =>
  jobs.map(({ document, responses, names }) => {
    const { operations, units, problems, errors } = compileDocument(documentTextOf(document), { responses, names });
    return { operations, units, problems, errors };
  });
