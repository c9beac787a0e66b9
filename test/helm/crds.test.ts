import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { apiSchemaKind } from '#policy/resource/kinds/api-schema.ts';
import { KINDS } from '#policy/resource/known-kinds.ts';
import { list, object, optional, planned, refined, required, string, withCel } from '#policy/schema/schema.ts';
import { CRD_FOLDER, crdFiles } from '../../scripts/crds/crd-files.ts';
import { customResourceDefinition, ownKinds, shortName } from '../../scripts/crds/custom-resource-definition.ts';
import { structuralSchema } from '../../scripts/crds/structural-schema.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

t.test('every kind of the own group has a definition, and nothing else has (else: npm run generate)', async (t) => {
  const own = Object.values(KINDS).filter(({ apiVersions }) => apiVersions.some((v) => v.startsWith('lateral.dev/')));
  t.strictSame(
    ownKinds()
      .map(({ kind }) => kind)
      .sort(),
    own.map(({ kind }) => kind).sort(),
  );
  const files = Object.keys(crdFiles()).map((path) => basename(path));
  t.strictSame(readdirSync(join(root, CRD_FOLDER)).sort(), files.sort());
});

t.test('no two kinds share a short name', async (t) => {
  const names = ownKinds().map(({ kind }) => shortName(kind));
  t.equal(new Set(names).size, names.length, names.join());
  t.equal(shortName('AuthorizationPolicy'), 'lap');
  t.equal(shortName('APISchema'), 'las');
});

t.test('a kind yet to come is defined from its schema alone', async (t) => {
  const spec = withCel(
    object({
      mode: optional(string({ description: 'What it does.' })),
      later: planned('later'),
      names: required(
        list(
          refined(string({ description: 'Of whom.' }), () => true),
          { maxItems: 3 },
        ),
      ),
    }),
    { rule: 'size(self.names) > 1', message: 'two at least' },
  );
  const made = structuralSchema(spec.json);
  t.match(made, {
    type: 'object',
    required: ['names'],
    'x-kubernetes-preserve-unknown-fields': true,
    'x-kubernetes-validations': [{ rule: 'size(self.names) > 1', message: 'two at least' }],
    properties: {
      mode: { type: 'string', minLength: 1, maxLength: 4096 },
      later: { 'x-kubernetes-preserve-unknown-fields': true, type: undefined },
      names: { type: 'array', maxItems: 3, description: 'Of whom.' },
    },
  });
  const defined = customResourceDefinition({
    kind: 'CrossingPolicy',
    plural: 'crossingpolicies',
    apiVersions: ['lateral.dev/v1alpha1', 'lateral.dev/v1beta1'],
    description: 'For this test.',
    spec,
  });
  t.match(defined, {
    metadata: { name: 'crossingpolicies.lateral.dev' },
    spec: {
      names: { shortNames: ['lcp'], categories: ['lateral'], listKind: 'CrossingPolicyList' },
      versions: [
        { name: 'v1alpha1', storage: true, schema: { openAPIV3Schema: { required: ['spec'] } } },
        { name: 'v1beta1', storage: false, subresources: { status: {} } },
      ],
    },
  });
  const printed = JSON.stringify(defined);
  t.match(printed, '"jsonPath":".spec.mode"');
});

t.test('the API server itself refuses a reference that can name no ConfigMap', async (t) => {
  const { spec } = apiSchemaKind;
  const pattern = /"name":\{[^}]*"pattern":("(?:[^"\\]|\\.)*")/.exec(JSON.stringify(structuralSchema(spec.json)))?.[1];
  const isName = new RegExp(JSON.parse(pattern ?? '"^$"'));
  for (const good of ['a', 'orders-v1.openapi', '0']) t.match(good, isName);
  for (const bad of ['../secrets/x', 'a/b', 'A', '', '-a', 'a.', 'a,metadata.name=b']) t.notMatch(bad, isName);
});

t.test('a keyword that has no structural form stops the generator', async (t) => {
  t.throws(() => structuralSchema({ type: 'object', $ref: '#/x' }), /keyword \$ref/);
  t.throws(() => structuralSchema({ description: 'no type' }), /needs a type/);
});

t.test('an unknown or planned field reaches the webhook at every depth', async (t) => {
  const lost: string[] = [];
  const walk = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    const { properties, items, additionalProperties, ...rest } = schema as { [key: string]: unknown };
    if (properties !== undefined && rest['x-kubernetes-preserve-unknown-fields'] !== true) lost.push(path);
    for (const [name, inner] of Object.entries(properties ?? {})) walk(inner, `${path}.${name}`);
    walk(items, `${path}[]`);
    walk(additionalProperties, `${path}{}`);
  };
  for (const kind of ownKinds()) walk(structuralSchema(kind.spec.json), kind.kind);
  t.strictSame(lost, []);
});
