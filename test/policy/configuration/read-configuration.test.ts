import t from 'tap';
import { readConfiguration } from '#policy/configuration/read-configuration.ts';
import { formatProblem } from '#policy/problem.ts';
import { object, optional, port, required, string } from '#policy/schema/schema.ts';

const schema = object({ trustDomain: required(string()), admin: optional(object({ port: required(port()) })) });

function read(text: string) {
  const { value, problems } = readConfiguration({ path: 'sidecar.yaml', text }, 'SidecarConfig', schema);
  return { value, problems: problems.map(formatProblem) };
}

t.test('reads a configuration', (t) => {
  t.same(
    read('apiVersion: lateral.dev/v1alpha1\nkind: SidecarConfig\ntrustDomain: cluster.local\nadmin: {port: 15000}\n'),
    {
      value: { trustDomain: 'cluster.local', admin: { port: 15000 } },
      problems: [],
    },
  );
  t.end();
});

t.test('collects the faults in the order of the file', (t) => {
  t.same(read('apiVersion: lateral.dev/v1\nkind: SidecarConfi\ntrustDoman: x\nadmin: {port: 0, prt: 1}\n'), {
    value: undefined,
    problems: [
      'sidecar.yaml:1:1: error missing_field missing field trustDomain',
      'sidecar.yaml:1:13: error invalid_value apiVersion: expected lateral.dev/v1alpha1, got "lateral.dev/v1"',
      'sidecar.yaml:2:7: error invalid_value kind: expected SidecarConfig, got "SidecarConfi"',
      'sidecar.yaml:3:1: error unknown_field unknown field trustDoman; did you mean trustDomain?',
      'sidecar.yaml:4:15: error invalid_value admin.port: 0 is outside of 1 to 65535',
      'sidecar.yaml:4:18: error unknown_field admin: unknown field prt; did you mean port?',
    ],
  });
  t.end();
});

t.test('is one document', (t) => {
  t.match(read('').problems, ['sidecar.yaml:1:1: error invalid_value empty file; expected a SidecarConfig']);
  const twice = read('apiVersion: lateral.dev/v1alpha1\nkind: SidecarConfig\ntrustDomain: a\n---\ntrustDomain: b\n');
  t.same(twice, {
    value: undefined,
    problems: ['sidecar.yaml:5:1: error invalid_value a second document; a SidecarConfig file holds one'],
  });
  t.match(read('[').problems, [/^sidecar.yaml:1:\d: error yaml_syntax/]);
  t.match(read('- a\n').problems, [/expected a mapping with apiVersion, kind/]);
  t.end();
});
