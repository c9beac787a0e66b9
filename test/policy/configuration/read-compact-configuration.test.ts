import t from 'tap';
import { readCompactConfiguration } from '#policy/configuration/read-compact-configuration.ts';
import { object, optional, port, required, string } from '#policy/schema/schema.ts';

const schema = object({ trustDomain: required(string()), admin: optional(object({ port: required(port()) })) });
const GOOD = { apiVersion: 'lateral.dev/v1alpha1', kind: 'SidecarConfig', trustDomain: 'a', admin: { port: 15000 } };

const read = (text: string) => readCompactConfiguration(text, 'SidecarConfig', schema);

t.test('reads what JSON.stringify wrote', (t) => {
  t.same(read(JSON.stringify(GOOD)), { trustDomain: 'a', admin: { port: 15000 } });
  t.end();
});

t.test('leaves to the YAML reader what has any fault, or another form', (t) => {
  const texts = {
    'an unknown field': JSON.stringify({ ...GOOD, prt: 1 }),
    'a field of __proto__': JSON.stringify(GOOD).replace('"admin"', '"__proto__":{"x":1},"admin"'),
    'another kind': JSON.stringify({ ...GOOD, kind: 'SidecarConfi' }),
    'a port of 0': JSON.stringify({ ...GOOD, admin: { port: 0 } }),
    'a key twice': JSON.stringify(GOOD).replace('"a"', '"a","trustDomain":"b"'),
    spaces: JSON.stringify(GOOD, null, 2),
    YAML: 'apiVersion: lateral.dev/v1alpha1\nkind: SidecarConfig\ntrustDomain: a\n',
    'a list': '[]',
    nothing: '',
    'too deep': '['.repeat(100_000) + ']'.repeat(100_000),
    'too long': JSON.stringify({ ...GOOD, trustDomain: 'a'.repeat(131_072) }),
  };
  for (const [name, text] of Object.entries(texts)) t.equal(read(text), undefined, name);
  t.end();
});
