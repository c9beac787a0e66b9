import type { TravellingForm } from '../resource/kinds/api-schema.ts';
import type { CompiledDocument } from './api-model.ts';
import { compileDocument } from './openapi/compile-document.ts';
import { descriptorSetOf, documentTextOf } from './travelling-document.ts';

/** An OpenAPI document, or a descriptor set. */
export type TravellingDocument =
  | (TravellingForm & { readonly descriptorSet?: undefined })
  | { readonly descriptorSet: TravellingForm; readonly inline?: undefined; readonly brotli?: undefined };

/** One schema document to compile. */
export interface ValidatorJob {
  /** NAMESPACE/NAME of its APISchema, for messages. */
  readonly name: string;
  /** The document as it travels. */
  readonly document: TravellingDocument;
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
export const generateValidators: GenerateValidators = async (jobs) => {
  const generated: GeneratedValidator[] = [];
  for (const job of jobs) generated.push(await generate(job));
  return generated;
};

async function generate({ document, responses, names }: ValidatorJob): Promise<GeneratedValidator> {
  if (document.descriptorSet !== undefined) {
    const { compileDescriptorSet } = await import('./protobuf/compile-descriptor-set.ts');
    const { hasRules, loadRules } = await import('./protobuf/judge-message.ts');
    const compiled = compileDescriptorSet(descriptorSetOf(document.descriptorSet));
    if (compiled.units.some(hasRules)) await loadRules(); // whoever compiles here may judge here
    return compiled;
  }
  const { operations, units, problems, errors } = compileDocument(documentTextOf(document), { responses, names });
  return { operations, units, problems, errors };
}
