import type { Problem } from '../problem.ts';
import { nearestSpelling } from '../schema/nearest-spelling.ts';
import { isOverrideOf, unknownOverride } from '../validation/judge/operation-settings.ts';
import { isMethodMatch } from '../validation/protobuf/callable-methods.ts';
import { type DocumentOperation, operationsIn } from './document-facts.ts';
import type { Resource } from './kind.ts';
import type { ApiValidationPolicySpec } from './kinds/api-validation-policy.ts';
import { problemAt, type SourcedResource } from './sourced-resource.ts';

/** What APIValidationPolicies say about operations: one that two documents have, an override of one that none has. */
export function checkValidationPolicies(all: readonly SourcedResource[]): readonly Problem[] {
  const documents = new Map<string, () => readonly DocumentOperation[]>(
    all.flatMap(({ any, facts }) => {
      if (any.type !== 'APISchema') return [];
      const { namespace, name, spec } = any.resource;
      return [[`${namespace}/${name}`, () => facts?.operations ?? operationsIn(spec)] as const];
    }),
  );
  const read = new Map<string, readonly DocumentOperation[]>();
  const operationsOf = (name: string): readonly DocumentOperation[] => {
    const known = read.get(name) ?? documents.get(name)?.() ?? [];
    read.set(name, known);
    return known;
  };
  return all.flatMap((sourced) => {
    if (sourced.any.type !== 'APIValidationPolicy') return [];
    const policy = sourced.any.resource;
    // One document without overrides has nothing to be compared with, and need not be read once more.
    const { schemaRefs, overrides, webhooks } = policy.spec;
    const { methods = [] } = policy.spec.grpc;
    if (schemaRefs.length < 2 && overrides.length + webhooks.length + methods.length === 0) return [];
    const named = policy.spec.schemaRefs.map((name) => operationsOf(`${policy.namespace}/${name}`));
    return [
      ...sharedOperations(sourced, policy, named),
      ...unknownOverrides(sourced, policy, named),
      ...unknownWebhooks(sourced, policy, named),
      ...unknownMethods(sourced, policy, named),
    ];
  });
}

function unknownMethods(
  sourced: SourcedResource,
  { spec }: Resource<ApiValidationPolicySpec>,
  documents: readonly (readonly DocumentOperation[])[],
): readonly Problem[] {
  const known = documents.flat().map(({ template }) => template);
  return (spec.grpc.methods ?? []).flatMap((pattern, index) => {
    if (known.some((path) => isMethodMatch(pattern, path))) return [];
    const near = nearestSpelling(
      pattern,
      known.map((path) => path.slice(1)),
    );
    const message = `no descriptor set has the method ${pattern}${near === undefined ? '' : `; did you mean ${near}?`}`;
    return [problemAt(sourced, ['spec', 'grpc', 'methods', index], 'error', 'unknown_reference', message)];
  });
}

function sharedOperations(
  sourced: SourcedResource,
  { spec }: Resource<ApiValidationPolicySpec>,
  documents: readonly (readonly DocumentOperation[])[],
): readonly Problem[] {
  const owners = new Map<string, string>();
  const problems: Problem[] = [];
  for (const [index, operations] of documents.entries()) {
    const name = spec.schemaRefs[index] ?? '';
    for (const { title } of operations) {
      const owner = owners.get(title);
      if (owner === undefined) {
        owners.set(title, name);
      } else if (owner !== name) {
        const message = `${title} is in two documents, ${owner} and ${name}`;
        problems.push(problemAt(sourced, ['spec', 'schemaRefs', index], 'error', 'duplicate_operation', message));
      }
    }
  }
  return problems;
}

function unknownOverrides(
  sourced: SourcedResource,
  { spec }: Resource<ApiValidationPolicySpec>,
  documents: readonly (readonly DocumentOperation[])[],
): readonly Problem[] {
  const operations = documents.flat().flatMap((operation) => {
    if (operation.webhook === undefined) return [operation];
    return spec.webhooks.map(({ path }) => ({ ...operation, template: path }));
  });
  return spec.overrides.flatMap((override, index) => {
    if (operations.some((operation) => isOverrideOf(override, operation))) return [];
    const { operationId, path = '' } = override;
    const known = operations.flatMap(
      (operation) => (operationId === undefined ? operation.template : operation.operationId) ?? [],
    );
    const near = nearestSpelling(operationId ?? path, known);
    const message = `${unknownOverride(override)}${near === undefined ? '' : `; did you mean ${near}?`}`;
    const field = operationId === undefined ? 'path' : 'operationId';
    return [problemAt(sourced, ['spec', 'overrides', index, field], 'error', 'unknown_reference', message)];
  });
}

function unknownWebhooks(
  sourced: SourcedResource,
  { spec }: Resource<ApiValidationPolicySpec>,
  documents: readonly (readonly DocumentOperation[])[],
): readonly Problem[] {
  const known = documents.flat().flatMap(({ webhook }) => webhook ?? []);
  return spec.webhooks.flatMap(({ names }, index) => {
    const at = ['spec', 'webhooks', index];
    if (names === undefined) {
      const message = 'the documents describe no webhooks';
      return known.length > 0 ? [] : [problemAt(sourced, at, 'error', 'unknown_reference', message)];
    }
    return names.flatMap((name, place) => {
      if (known.includes(name)) return [];
      const near = nearestSpelling(name, known);
      const message = `no document describes a webhook ${name}${near === undefined ? '' : `; did you mean ${near}?`}`;
      return [problemAt(sourced, [...at, 'names', place], 'error', 'unknown_reference', message)];
    });
  });
}
