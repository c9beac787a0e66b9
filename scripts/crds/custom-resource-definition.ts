import type { ResourceKind } from '#policy/resource/kind.ts';
import { apiSchemaKind } from '#policy/resource/kinds/api-schema.ts';
import { KINDS } from '#policy/resource/known-kinds.ts';
import { isRecord, type JsonSchema } from '#policy/schema/schema.ts';
import { STATUS_SCHEMA } from './status-schema.ts';
import { structuralSchema } from './structural-schema.ts';

export const GROUP = 'lateral.dev';

type Kind = Pick<ResourceKind<unknown>, 'kind' | 'plural' | 'apiVersions' | 'spec' | 'description'>;

/** The kinds of Lateral's own group, as people write them. */
export function ownKinds(): readonly Kind[] {
  const written: readonly Kind[] = Object.values({ ...KINDS, APISchema: apiSchemaKind });
  return written.filter(({ apiVersions }) => apiVersions.some(isOwn));
}

/** The definition of one kind, as the API server takes it. */
export function customResourceDefinition(kind: Kind): JsonSchema {
  const versions = kind.apiVersions.filter(isOwn).map((version) => version.slice(GROUP.length + 1));
  const schema = schemaOf(kind);
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.kind.toLowerCase(),
        shortNames: [shortName(kind.kind)],
        categories: ['lateral'],
      },
      scope: 'Namespaced',
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0, // the first is the stored one
        schema: { openAPIV3Schema: schema },
        subresources: { status: {} },
        additionalPrinterColumns: columns(kind),
      })),
    },
  };
}

function schemaOf({ spec, description }: Kind): JsonSchema {
  const structural = structuralSchema(spec.json);
  return {
    type: 'object',
    description,
    'x-kubernetes-preserve-unknown-fields': true, // a misspelt `spec` too is for the webhook to refuse
    ...(Array.isArray(structural['required']) ? { required: ['spec'] } : {}),
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: structural,
      status: STATUS_SCHEMA,
    },
  };
}

/** `l` and the capitals, an abbreviation being one: AuthorizationPolicy lap, APISchema las. No two kinds share one (a test). */
export function shortName(kind: string): string {
  const words = kind.match(/[A-Z]+(?![a-z])|[A-Z][a-z]+/g) ?? [kind];
  return `l${words.map((word) => word.charAt(0)).join('')}`.toLowerCase();
}

/** What `kubectl get` shows: what the policy does, whether it is in force, and whom it binds. */
function columns({ spec }: Kind): readonly JsonSchema[] {
  const said = [
    { name: 'Action', path: ['action'] },
    { name: 'Mode', path: ['mode'] },
    { name: 'mTLS', path: ['mtls', 'mode'] },
  ].filter(({ path }) => hasField(spec.json, path));
  return [
    ...said.map(({ name, path }) => ({ name, type: 'string', jsonPath: `.spec.${path.join('.')}` })),
    ...['Accepted', 'Programmed'].map((type) => ({
      name: type,
      type: 'string',
      jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
    })),
    { name: 'Workloads', type: 'integer', jsonPath: '.status.workloads' },
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ];
}

function hasField(schema: JsonSchema, [name, ...rest]: readonly string[]): boolean {
  if (name === undefined) return true;
  const { properties } = schema;
  const field = isRecord(properties) ? properties[name] : undefined;
  return isRecord(field) && field['x-lateral-planned'] !== true && hasField(field, rest);
}

function isOwn(apiVersion: string): boolean {
  return apiVersion.startsWith(`${GROUP}/`);
}
