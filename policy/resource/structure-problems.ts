import type { Problem } from '../problem.ts';
import { readDocumentText } from '../validation/openapi/openapi-text.ts';
import { documentTextOf } from '../validation/travelling-document.ts';
import { placed } from './check-api-schemas.ts';
import type { SourcedResource } from './sourced-resource.ts';

/** What OpenAPI's own schema says of the documents of the APISchemas: warnings, for whoever writes them; nothing is enforced by it. */
export async function structureProblems(all: readonly SourcedResource[]): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  const { structureProblem } = await import('../validation/openapi/check-structure.ts');
  for (const sourced of all) {
    const openapi = sourced.any.type === 'APISchema' ? sourced.any.resource.spec.openapi : undefined;
    if (openapi === undefined) continue;
    const text = sourced.bundle?.text ?? readDocumentText(documentTextOf(openapi));
    const found = text.problems.length > 0 ? undefined : structureProblem(text);
    if (found !== undefined) problems.push(placed(sourced, found));
  }
  return problems;
}
