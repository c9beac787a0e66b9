import t from 'tap';
import { formatPath, textContext } from '#policy/schema/document-context.ts';
import { nearestSpelling } from '#policy/schema/nearest-spelling.ts';
import {
  boolean,
  choice,
  defaulted,
  described,
  integer,
  list,
  map,
  number,
  object,
  optional,
  planned,
  port,
  refined,
  required,
  type Schema,
  string,
} from '#policy/schema/schema.ts';

function read<T>(
  schema: Schema<T>,
  value: unknown,
): { readonly value: T | undefined; readonly reasons: readonly string[] } {
  const reasons: string[] = [];
  return { value: schema.read(value, [], textContext(reasons, 'x')), reasons };
}

const example = object({
  name: required(string({ maxLength: 5 })),
  mode: defaulted(choice(['Audit', 'Enforce'], { planned: ['Shadow'] }), 'Audit'),
  port: optional(port()),
  ratio: optional(number({ minimum: 0, maximum: 1 })),
  tags: defaulted(list(string(), { maxItems: 2 }), []),
  labels: optional(map(string({ minLength: 0 }))),
  isOn: optional(boolean()),
  later: planned('later'),
});

t.test('reads what is right and puts defaults in', (t) => {
  t.same(read(example, { name: 'a' }), {
    value: {
      name: 'a',
      mode: 'Audit',
      port: undefined,
      ratio: undefined,
      tags: [],
      labels: undefined,
      isOn: undefined,
      later: undefined,
    },
    reasons: [],
  });
  t.match(read(example, { name: 'a', port: 80, ratio: 0.5, labels: { a: '' }, isOn: false, mode: null }), {
    value: { port: 80, mode: 'Audit', isOn: false },
    reasons: [],
  });
  t.end();
});

t.test('reports every fault at once, each with its path', (t) => {
  const { value, reasons } = read(example, {
    nam: 1,
    mode: 'Enfroce',
    port: 70000,
    ratio: 2,
    tags: ['a', 'b', 'c'],
    labels: [],
    isOn: 'yes',
    later: 1,
  });
  t.equal(value, undefined);
  t.same(reasons, [
    'x: unknown field nam; did you mean name?',
    'x: missing field name',
    'x: mode: expected one of Audit, Enforce, got "Enfroce"; did you mean Enforce?',
    'x: port: 70000 is outside of 1 to 65535',
    'x: ratio: 2 is outside of 0 to 1',
    'x: tags: a list of 3 entries; expected at most 2',
    'x: labels: expected a mapping, got a list',
    'x: isOn: expected true or false, got "yes"',
    'x: later is not implemented in this version; remove it',
  ]);
  t.same(read(example, { name: 'a', mode: 'Shadow' }).reasons, [
    'x: mode: Shadow is not implemented in this version; use Audit or Enforce',
  ]);
  t.same(read(example, { name: 'abcdef' }).reasons, ['x: name: 6 characters exceed the limit of 5']);
  t.same(read(integer({ minimum: 0, maximum: 9 }), 1.5).reasons, ['x: expected an integer, got 1.5']);
  t.same(read(example, null).reasons, ['x: expected a mapping, got nothing']);
  t.end();
});

t.test('a refinement is asked only about what could be read', (t) => {
  const even = refined(integer({ minimum: 0, maximum: 9 }), (value, path, context) => {
    if (value % 2 === 0) return true;
    context.fail(path, 'invalid_value', 'odd');
    return false;
  });
  t.same(read(even, 2), { value: 2, reasons: [] });
  t.same(read(even, 3).reasons, ['x: odd']);
  t.same(read(even, 'x').reasons, ['x: expected an integer, got "x"']);
  t.end();
});

t.test('the JSON Schema says the same', (t) => {
  t.match(described(example, 'An example.').json, {
    type: 'object',
    description: 'An example.',
    required: ['name'],
    properties: {
      mode: { enum: ['Audit', 'Enforce'], default: 'Audit' },
      port: { type: 'integer', minimum: 1, maximum: 65535 },
    },
  });
  t.end();
});

t.test('a spelling is guessed only where it is near', (t) => {
  t.equal(nearestSpelling('principels', ['principals', 'namespaces']), 'principals');
  t.equal(nearestSpelling('MODE', ['mode']), 'mode');
  t.equal(nearestSpelling('xyz', ['principals']), undefined);
  t.equal(nearestSpelling('', ['principals']), undefined);
  t.end();
});

t.test('paths are written as people point at fields', (t) => {
  t.equal(formatPath(['spec', 'rules', 0, 'to', 1]), 'spec.rules[0].to[1]');
  t.equal(formatPath([]), '');
  t.end();
});
