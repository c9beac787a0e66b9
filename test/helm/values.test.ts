import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import t from 'tap';
import { parse } from 'yaml';
import { INJECTION_CONFIGURATION } from '#control-plane/injection/injection-configuration.ts';
import { documentedValues } from '../../scripts/helm/documented-values.ts';
import { valuesSchema } from '../../scripts/helm/values-schema.ts';

const chart = fileURLToPath(new URL('../../helm/lateral', import.meta.url));
const text = readFileSync(join(chart, 'values.yaml'), 'utf8');
const values = parse(text);
const documented = documentedValues(text);
const templates = readdirSync(join(chart, 'templates'), { recursive: true, encoding: 'utf8' })
  .filter((name) => /\.(yaml|tpl|txt)$/.test(name))
  .map((name) => readFileSync(join(chart, 'templates', name), 'utf8'))
  .join('\n');
const validate = new Ajv({ strict: false }).compile(valuesSchema());

t.test('the defaults are what the schema of values takes', async (t) => {
  t.ok(validate(values), JSON.stringify(validate.errors));
});

t.test('a misspelt value is refused, at every depth', async (t) => {
  for (const { path } of documented) {
    const wrong = structuredClone(values);
    const steps = path.split('.');
    const last = steps.pop() ?? '';
    const parent = steps.reduce((object, step) => object[step], wrong);
    parent[`${last}s`] = parent[last];
    t.notOk(validate(wrong), `${path}s`);
  }
});

t.test('meshDefaults takes what MeshDefaults takes, and nothing else', async (t) => {
  const takes = (meshDefaults: object) => validate({ ...values, meshDefaults });
  t.ok(takes({ mode: 'Audit', authorization: { default: 'Allow' }, mtls: { mode: 'PERMISSIVE' } }));
  t.notOk(takes({ mode: 'audit' }));
  t.notOk(takes({ mtls: { mode: 'STRICT', port: 1 } }));
});

t.test('every value does something, and templates use no other', async (t) => {
  // `(.Values.a).b` is `.Values.a.b` where a need not be there
  const plain = templates.replaceAll(/\((\.Values\.[A-Za-z.]+)\)/g, '$1');
  const used = new Set([...plain.matchAll(/\.Values\.([A-Za-z.]+)/g)].map((match) => match[1] ?? ''));
  for (const { path } of documented) {
    const isUsed = [...used].some((name) => isAtOrBelow(name, path));
    t.ok(isUsed, `${path} is used`);
  }
  for (const name of used) {
    const isKnown = documented.some(({ path }) => isAtOrBelow(name, path) || isAtOrBelow(path, name));
    t.ok(isKnown, `.Values.${name} is documented`);
  }
});

function isAtOrBelow(name: string, path: string): boolean {
  return name === path || name.startsWith(`${path}.`);
}

t.test("the defaults of injected containers are the injector's own", async (t) => {
  const own = INJECTION_CONFIGURATION.read({ image: 'x' }, [], { fail: (...said) => t.fail(said.join()), warn() {} });
  const { failurePolicy: _ofTheWebhook, ...injection } = values.injection;
  t.match(own, {
    ...injection,
    resources: values.sidecar.resources,
    initResources: values.init.resources,
    accessLog: values.sidecar.accessLog,
  });
});
