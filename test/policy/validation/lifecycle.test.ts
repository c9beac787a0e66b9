import t from 'tap';
import type { Resource } from '#policy/resource/kind.ts';
import { type ApiSchemaSpec, apiSchemaKind, type Lifecycle } from '#policy/resource/kinds/api-schema.ts';
import { textContext } from '#policy/schema/document-context.ts';
import { compileValidation } from '#policy/validation/compile-validation.ts';
import { generateValidators } from '#policy/validation/generate-validators.ts';
import { openApi, policyOf, schemaOf } from './validation-of.ts';

const DOCUMENT = openApi('3.1.0', '  /a: {get: {}, delete: {deprecated: true}}\n');

async function judge(lifecycle: Lifecycle | undefined, method = 'GET', mode = 'Enforce') {
  const schema: Resource<ApiSchemaSpec> = schemaOf('api', DOCUMENT);
  const schemas = [{ ...schema, spec: { ...schema.spec, lifecycle } }];
  const policies = [policyOf({ schemaRefs: ['api'], mode })];
  const { validation } = await compileValidation({ policies, schemas, generate: generateValidators });
  const parts = { method, path: '/a', query: '', headers: [], hasBody: false, contentLength: undefined };
  const { findings = [], isDeprecated, notices } = validation?.judgeHead(parts) ?? {};
  return { codes: findings.map(({ effect, code }) => `${effect} ${code}`), isDeprecated, notices };
}

t.test(
  'operations of a retired document are refused, those of a deprecated one are answered with a notice',
  async (t) => {
    t.same(await judge(undefined), { codes: [], isDeprecated: false, notices: [] });
    t.same(await judge(undefined, 'DELETE'), { codes: [], isDeprecated: true, notices: [] });
    const dates = { since: '2026-01-31', sunset: '2026-12-31' };
    t.same(await judge({ state: 'Deprecated', ...dates }), {
      codes: [],
      isDeprecated: true,
      notices: [
        { name: 'deprecation', value: '@1769817600' },
        { name: 'sunset', value: 'Thu, 31 Dec 2026 00:00:00 GMT' },
      ],
    });
    t.same((await judge({ state: 'Active', ...dates })).notices, []);
    t.same((await judge({ state: 'Retired', ...dates })).codes, ['refuse retired_operation']);
    t.same((await judge({ state: 'Retired', ...dates }, 'GET', 'Audit')).codes, ['audit retired_operation']);
  },
);

t.test('dates are dates', async (t) => {
  const reasonsOf = (lifecycle: unknown) => {
    const reasons: string[] = [];
    apiSchemaKind.spec.read({ openapi: { inline: 'a' }, lifecycle }, [], textContext(reasons, 'spec'));
    return reasons;
  };
  t.same(reasonsOf({ state: 'Deprecated', sunset: '2026-12-31' }), []);
  t.match(reasonsOf({ sunset: '2026-13-31' }), [/2026-13-31 is not a date/]);
  t.match(reasonsOf({ sunset: 'soon' }), [/soon is not a date/]);
  t.match(reasonsOf({ state: 'Old' }), [/Active, Deprecated, Retired/]);
});
